package publisher

import (
	"math"
	"slices"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/event"
)

// levels are those of a document's headings by their size. Ranges tell sizes and no levels, so that a heading's level does not depend on how the document was
// cut: it is a function of all sizes in it.
//
// Much as marker does within what it is given: sizes fall into at most four groups of neighbours, those with the least sum of squares, and the largest is the
// first level; with four headings or fewer all are of the second. Unlike there, groups whose means are close are one level: the height of a line differs a
// little by what letters are in it, and four levels are not made of one size; if all headings are of one, they are of the second level.
type levels struct{ least []float64 } // size from which on a heading is of this level, by level; nil: all are defaultLevel

const (
	levelCount   = 4
	defaultLevel = 2
	// tolerance is the share of the least size of a level that a heading of this level has at least.
	tolerance = 0.99
	// distinct is the share of the mean of the largest group of a level that the mean of the next level is below.
	distinct = 0.875
	// maxSizes bounds the distinct sizes that are grouped, whose square is the work; what is beyond is put together with its neighbour.
	maxSizes = 1000
)

func levelsOf(sizes []float64) levels {
	if len(sizes) <= levelCount {
		return levels{}
	}
	sorted := slices.Sorted(slices.Values(sizes))
	var values, counts []float64
	for _, size := range sorted {
		if n := len(values); n > 0 && (values[n-1] == size || n >= maxSizes) {
			counts[n-1]++
			continue
		}
		values, counts = append(values, size), append(counts, 1)
	}
	var l levels
	end, above := len(values), 0.0 // of the level: the mean of its largest group
	for _, first := range slices.Backward(groups(values, counts, levelCount)) {
		mean := meanOf(values[first:end], counts[first:end])
		end = first
		if n := len(l.least); n > 0 && mean >= above*distinct {
			l.least[n-1] = values[first]
			continue
		}
		l.least, above = append(l.least, values[first]), mean
	}
	if len(l.least) == 1 {
		return levels{}
	}
	return l
}

func meanOf(values, counts []float64) float64 {
	sum, count := 0.0, 0.0
	for i, v := range values {
		sum, count = sum+counts[i]*v, count+counts[i]
	}
	return sum / count
}

// groups cuts ascending values, of each of which there are so many, into k groups of neighbours, fewer if there are fewer values, so that the sum of the squared
// distances from the means of the groups is least. It returns the index at which each group begins.
func groups(values, counts []float64, k int) []int {
	n := len(values)
	k = min(k, n)
	weight, sum, squares := make([]float64, n+1), make([]float64, n+1), make([]float64, n+1)
	for i, v := range values {
		weight[i+1], sum[i+1], squares[i+1] = weight[i]+counts[i], sum[i]+counts[i]*v, squares[i]+counts[i]*v*v
	}
	cost := func(from, to int) float64 { // of values[from:to] as one group
		w, s := weight[to]-weight[from], sum[to]-sum[from]
		return max(0, squares[to]-squares[from]-s*s/w)
	}
	best, begin := make([]float64, n+1), make([][]int, k+1)
	for to := 1; to <= n; to++ {
		best[to] = cost(0, to)
	}
	for g := 2; g <= k; g++ {
		next := make([]float64, n+1)
		begin[g] = make([]int, n+1)
		for to := g; to <= n; to++ {
			next[to] = math.Inf(1)
			for from := g - 1; from < to; from++ {
				if c := best[from] + cost(from, to); c < next[to] {
					next[to], begin[g][to] = c, from
				}
			}
		}
		best = next
	}
	starts, to := make([]int, k), n
	for g := k; g >= 2; g-- {
		to = begin[g][to]
		starts[g-1] = to
	}
	return starts
}

// of is the level of a heading.
func (l levels) of(size float64) int {
	for i, least := range l.least {
		if size >= least*tolerance {
			return i + 1
		}
	}
	return defaultLevel
}

// inMarkdown gives the headings of a page their levels.
func (l levels) inMarkdown(text string, headings []event.Heading) string {
	return inLines(text, headings, func(lines []string, at int, size float64) {
		if title := strings.TrimLeft(lines[at], "#"); len(title) < len(lines[at]) {
			lines[at] = strings.Repeat("#", l.of(size)) + title
		}
	})
}

// inHTML does so in HTML as marker writes it: a tag begins in the heading's line and ends further down.
func (l levels) inHTML(text string, headings []event.Heading) string {
	return inLines(text, headings, func(lines []string, at int, size float64) {
		old, level := openTag.FindString(lines[at]), string(rune('0'+l.of(size)))
		if old == "" {
			return
		}
		end := "</" + old[1:] + ">"
		for i := at; i < len(lines); i++ {
			if strings.Contains(lines[i], end) {
				lines[at] = strings.Replace(lines[at], old, old[:2]+level, 1)
				lines[i] = strings.Replace(lines[i], end, "</h"+level+">", 1)
				return
			}
		}
	})
}

func inLines(text string, headings []event.Heading, set func(lines []string, at int, size float64)) string {
	if len(headings) == 0 {
		return text
	}
	lines := strings.Split(text, "\n")
	for _, h := range headings {
		if h.Block == "" && h.Line >= 0 && h.Line < len(lines) {
			set(lines, h.Line, h.Size)
		}
	}
	return strings.Join(lines, "\n")
}
