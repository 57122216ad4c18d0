package validator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/validator"
)

// A form that an earlier page has used is not read again: however often and however deep a later page repeats it, its characters are counted.
func TestCharactersAreCountedHoweverFormsRepeatThem(t *testing.T) {
	limits := validator.DefaultLimits()
	limits.MaxChars = 20_000 // more than 18 times what the form shows, and less than what the page does
	inspector := newInspector(t, limits)
	const uses = "/MediaBox[0 0 300 100]/Contents %d 0 R/Resources<</XObject<</X 1500 0 R>>/Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
	form := func(next int) string {
		return fmt.Sprintf("/Type/XObject/Subtype/Form/BBox[0 0 300 99]/Resources<</XObject<</X %d 0 R>>/Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>", next)
	}
	text := says(strings.Repeat("a b ", 200))[1]
	for name, c := range map[string]struct {
		forms []string // contents, each may use the next
		page  string
	}{
		"often":  {[]string{text}, strings.Repeat("/X Do ", 40)},
		"twice":  {[]string{"/X Do /X Do", "/X Do /X Do", "/X Do /X Do", "/X Do /X Do", "/X Do /X Do", text}, "/X Do"},
		"deeply": {[]string{"/X Do /X Do /X Do", "/X Do /X Do /X Do", "/X Do /X Do /X Do", text}, "/X Do"},
	} {
		p := plain(6) // the first pages are those of which the text is looked at in any case
		long := says(strings.Repeat("words to be looked at ", 30))
		p.streams[1000] = long
		for i, content := range c.forms {
			p.streams[1500+i] = [2]string{form(1501 + i), content}
		}
		// The forms are read by a page that shows one of them once.
		p.streams[1001] = [2]string{"", "/X Do"}
		p.pages[4] = strings.Replace(fmt.Sprintf(uses, 1001), "1500 0 R", fmt.Sprintf("%d 0 R", 1500+len(c.forms)-1), 1)
		p.streams[1002] = [2]string{"", says("the page itself")[1] + " " + c.page}
		p.pages[5] = fmt.Sprintf(uses, 1002)
		r := check(t, inspector, validator.Request{Path: p.write(t, name+".pdf")})
		if len(r.Facts.Failed) != 1 || r.Facts.Failed[0].Page != 6 || r.Facts.Failed[0].Class != failure.LimitChars {
			t.Errorf("%s: failed %v, pages %+v", name, r.Facts.Failed, r.Facts.PageList)
		}
	}
}

// The characters of ordinary pages are read off their content, beyond the first pages.
func TestEveryPageHasItsCharacters(t *testing.T) {
	p := plain(8)
	for i := range p.pages {
		p.pages[i] = page(300, 100, 1000+i)
		p.streams[1000+i] = says(strings.Repeat("text ", 40*i))
	}
	r := check(t, newInspector(t, validator.DefaultLimits()), validator.Request{Path: p.write(t, "text.pdf")})
	if r.Facts.TextPages != 7 || r.Facts.Partial != "" || len(r.Facts.PageList) != 8 {
		t.Fatalf("%d pages with text, partial %q", r.Facts.TextPages, r.Facts.Partial)
	}
	for i, one := range r.Facts.PageList {
		if want := 200 * i; one.Chars < want*9/10 || one.Chars > want*11/10 {
			t.Errorf("page %d: %d characters, it has %d", i+1, one.Chars, want)
		}
	}
}

func TestOnlyAPageThatIsQuicklyDrawnHasAPicture(t *testing.T) {
	inspector := newInspector(t, validator.DefaultLimits())
	crowded := plain(2)
	crowded.pages[0] = page(300, 100, 1001)
	crowded.streams[1001] = [2]string{"", strings.Repeat("0 0 m 5 5 l S ", 20_001)}
	for name, c := range map[string]struct {
		pdf  pdf
		want bool
	}{"ordinary": {plain(2), true}, "crowded": {crowded, false}} {
		found, err := inspector.Inspect(t.Context(), validator.Request{Path: c.pdf.write(t, name+".pdf"), Thumbnail: 64})
		if err != nil || found.Facts.LoadablePages != 2 || (len(found.Thumbnail) > 0) != c.want {
			t.Errorf("%s: %d bytes of picture, %d pages, %v", name, len(found.Thumbnail), found.Facts.LoadablePages, err)
		}
	}
}
