package publisher

import (
	"strings"
	"testing"
)

// BenchmarkOnePage is a handler's time for the most common document, with the embedded store.
func BenchmarkOnePage(b *testing.B) {
	p := newBench(b, usual)
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		j := newJob(b, n)
		good(b, j, span(1, 1), "a")
		b.StartTimer()
		convertedOf(b, p.handleOne(b, rendered(j, span(1, 1), 1)))
	}
}

// BenchmarkBook joins 2,000 pages of 3 KB each from 63 ranges.
func BenchmarkBook(b *testing.B) {
	p := newBench(b, usual)
	text := strings.Repeat("lorem ipsum dolor sit amet, ", 110)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		j := newJob(b, n)
		for first := 1; first <= 2000; first += 32 {
			good(b, j, span(first, min(first+31, 2000)), text)
		}
		b.StartTimer()
		convertedOf(b, p.handleOne(b, rendered(j, span(1, 32), 2000)))
	}
}
