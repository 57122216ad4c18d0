package sandbox

import (
	"math"
	"strings"
	"unicode"

	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"

	"github.com/pdfmill/pdfmill/pipeline/facts"
)

const (
	readChars  = 2000 // of a page, whose signs and words are looked at
	readMapped = 64   // characters of a page whose mapping to Unicode is looked at
	muteWords  = 10   // words from which their share without a vowel says something
	muteLength = 4    // letters of such a word at least
)

// readable looks at a sample of a page's text layer. The error is the sandbox's end.
func (l *look) readable(page references.FPDF_TEXTPAGE, chars int) (*facts.Readable, error) {
	text, err := l.instance.FPDFText_GetText(&requests.FPDFText_GetText{TextPage: page, StartIndex: 0, Count: min(chars, readChars)})
	if err != nil {
		return nil, err
	}
	r := facts.Readable{Unknown: unknown(text.Text), Mute: mute(text.Text)}
	step, unmapped, looked := max(chars/readMapped, 1), 0, 0
	for i := 0; i < chars && looked < readMapped; i += step {
		e, err := l.instance.FPDFText_HasUnicodeMapError(&requests.FPDFText_HasUnicodeMapError{TextPage: page, Index: i})
		if err != nil {
			return nil, err
		}
		if looked++; e.HasUnicodeMapError {
			unmapped++
		}
	}
	r.Unmapped = share(unmapped, looked)
	return &r, nil
}

// unknown is the share of the signs that mean nothing. Two of them stand for hyphens at the ends of lines.
func unknown(text string) float64 {
	bad, all := 0, 0
	for _, r := range text {
		switch {
		case unicode.IsSpace(r), r == '\x00':
			continue
		case r == '\x02', r == '\ufffe':
		case r == unicode.ReplacementChar, unicode.In(r, unicode.Cc, unicode.Co, unicode.Cs), !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Cf):
			bad++
		}
		all++
	}
	return share(bad, all)
}

const vowels = "aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüýÿœąęěėēįīıłőůűū"

// mute is the share of the words in Latin letters that nobody could say.
func mute(text string) float64 {
	dumb, all := 0, 0
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return !unicode.In(r, unicode.Latin) }) {
		if len([]rune(word)) < muteLength {
			continue
		}
		if all++; !strings.ContainsAny(word, vowels) {
			dumb++
		}
	}
	if all < muteWords {
		return 0
	}
	return share(dumb, all)
}

// covers is the share of a page that an object's box covers. What PDFium can't tell covers nothing.
func (l *look) covers(object references.FPDF_PAGEOBJECT, p *facts.Page) float64 {
	box, err := l.instance.FPDFPageObj_GetBounds(&requests.FPDFPageObj_GetBounds{PageObject: object})
	if err != nil || p.Width <= 0 || p.Height <= 0 {
		return 0
	}
	area := float64(box.Right-box.Left) * float64(box.Top-box.Bottom)
	return min(math.Round(area/(p.Width*p.Height)*100)/100, 1)
}

func share(part, all int) float64 {
	if all == 0 {
		return 0
	}
	return math.Round(float64(part)/float64(all)*100) / 100
}
