package sandbox

import (
	"strings"

	"github.com/abadojack/whatlanggo"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"

	"github.com/pdfmill/pdfmill/pipeline/facts"
)

const (
	sampleBytes  = 1000 // of text, from which on no other page is looked at
	sampleChars  = 1500 // of a page, for the language
	sampleMapped = 32   // characters of a page whose mapping to Unicode is looked at
	sampleFonts  = 64   // text objects of a document whose font is looked at
	minLanguage  = 200  // bytes from which a guess is worth something
)

// sample is what the first pages with text show of fonts and language.
type sample struct {
	pages int
	texts int
	fonts facts.Fonts
	text  strings.Builder
}

func newSample() *sample { return &sample{} }

// full reports whether enough pages were looked at.
func (s *sample) full() bool { return s.pages >= samplePages || s.text.Len() >= sampleBytes }

// font looks at the font of one text object. What PDFium can't tell is not counted.
func (s *sample) font(l *look, object references.FPDF_PAGEOBJECT) {
	if s.texts >= sampleFonts {
		return
	}
	s.texts++
	font, err := l.instance.FPDFTextObj_GetFont(&requests.FPDFTextObj_GetFont{PageObject: object})
	if err != nil {
		return
	}
	if e, err := l.instance.FPDFFont_GetIsEmbedded(&requests.FPDFFont_GetIsEmbedded{Font: font.Font}); err == nil && !e.IsEmbedded {
		s.fonts.NotEmbedded++
	}
}

// sampleText takes the beginning of a page's text. The error is the sandbox's end.
func (l *look) sampleText(page references.FPDF_TEXTPAGE, chars int, s *sample) error {
	text, err := l.instance.FPDFText_GetText(&requests.FPDFText_GetText{TextPage: page, StartIndex: 0, Count: min(chars, sampleChars)})
	if err != nil {
		return err
	}
	s.text.WriteString(text.Text)
	s.text.WriteByte('\n')
	for i := range min(chars, sampleMapped) {
		e, err := l.instance.FPDFText_HasUnicodeMapError(&requests.FPDFText_HasUnicodeMapError{TextPage: page, Index: i})
		if err != nil {
			return err
		}
		if s.fonts.Looked++; e.HasUnicodeMapError {
			s.fonts.Unmapped++
		}
	}
	return nil
}

// language guesses the language of the sample: "" when there is too little text, or it may be anything.
func (s *sample) language() string {
	text := strings.ToValidUTF8(s.text.String(), "")
	if len(text) < minLanguage {
		return ""
	}
	if guess := whatlanggo.Detect(text); guess.IsReliable() {
		return guess.Lang.Iso6391()
	}
	return ""
}
