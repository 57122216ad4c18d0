package pages_test

import (
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/pages"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "1", "1-20,35", "3-1", "1-,2", " 7 - 9 ", "99999999999999999999", "1,1,1", "-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := pages.Parse(text)
		if err != nil {
			return
		}
		last := 0
		for _, r := range set {
			if !r.Valid() || (last > 0 && r.First <= last+1) {
				t.Fatalf("%q gives %v", text, set)
			}
			last = r.Last
		}
		again, err := pages.Parse(set.String())
		if err != nil || again.String() != set.String() {
			t.Fatalf("%q gives %v, which reads as %v (%v)", text, set, again, err)
		}
	})
}
