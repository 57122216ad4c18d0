package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/klippa-app/go-pdfium/enums"
	pdfium_errors "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"

	"github.com/pdfmill/pdfmill/pipeline/facts"
)

// maxMeta bounds a text of a document's own description, in bytes.
const maxMeta = 200

// answer opens a document and says what is to know about it. A trap or panic inside is an answer, the last one.
func (p *probe) answer(q question) {
	l := &look{probe: p, question: q}
	defer func() {
		if cause := recover(); cause != nil {
			l.broken(fmt.Sprint(cause))
		}
	}()
	file, err := os.Open(q.Path)
	if err != nil {
		p.say(answer{Code: codeUnopened, Detail: err.Error()})
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		p.say(answer{Code: codeUnopened, Detail: err.Error()})
		return
	}
	l.meter = &meter{inflater: &p.inflater, file: file, size: info.Size(), bound: q.Bounds.Content, chars: q.Bounds.Chars}
	found, err := l.open()
	if err != nil {
		l.refused(err)
		return
	}
	if err := l.describe(found); err != nil {
		l.broken(err.Error())
		return
	}
	p.say(answer{Code: codeOpened, Facts: found})
	if err := l.pages(found.Pages); err != nil {
		l.broken(err.Error())
		return
	}
	if _, err := p.instance.FPDF_CloseDocument(&requests.FPDF_CloseDocument{Document: l.document}); err != nil {
		p.over = true
	}
}

// look is one document under inspection.
type look struct {
	*probe
	question question
	meter    *meter
	document references.FPDF_DOCUMENT
	at       int                  // the page in hand, 0 before the first
	wanted   bool                 // a picture of the page in hand
	front    references.FPDF_PAGE // the page whose picture is drawn at the end, still loaded; "": none
}

// open tries no password, then each one that was given.
func (l *look) open() (*facts.Facts, error) {
	found := &facts.Facts{}
	opened, err := l.instance.OpenDocument(&requests.OpenDocument{FileReader: l.meter, FileReaderSize: l.meter.size})
	for _, password := range l.question.Passwords {
		if !errors.Is(err, pdfium_errors.ErrPassword) {
			break
		}
		opened, err = l.instance.OpenDocument(&requests.OpenDocument{FileReader: l.meter, FileReaderSize: l.meter.size, Password: &password})
		found.Password = err == nil
	}
	if err != nil {
		return nil, err
	}
	l.document = opened.Document
	return found, nil
}

// describe fills in what is known without looking into a page. What a call of PDFium can't tell is left out.
func (l *look) describe(f *facts.Facts) error {
	pdf, document := l.instance, l.document
	count, err := pdf.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: document})
	if err != nil {
		return fmt.Errorf("count pages: %w", err)
	}
	f.Pages = count.PageCount
	if v, err := pdf.FPDF_GetFileVersion(&requests.FPDF_GetFileVersion{Document: document}); err == nil && v.FileVersion > 0 {
		f.Version = strings.Join([]string{strconv.Itoa(v.FileVersion / 10), strconv.Itoa(v.FileVersion % 10)}, ".")
	}
	if r, err := pdf.FPDF_GetSecurityHandlerRevision(&requests.FPDF_GetSecurityHandlerRevision{Document: document}); err == nil && r.SecurityHandlerRevision > 0 {
		f.Security = r.SecurityHandlerRevision
		if rights, err := pdf.FPDF_GetDocPermissions(&requests.FPDF_GetDocPermissions{Document: document}); err == nil {
			f.NoExtract = !rights.CopyOrExtractText
		}
	}
	for tag, field := range map[string]*string{"Producer": &f.Producer, "Creator": &f.Creator, "Title": &f.Title} {
		if m, err := pdf.FPDF_GetMetaText(&requests.FPDF_GetMetaText{Document: document, Tag: tag}); err == nil {
			*field = printable(m.Value)
		}
	}
	if form, err := pdf.FPDF_GetFormType(&requests.FPDF_GetFormType{Document: document}); err == nil {
		f.Form = map[enums.FPDF_FORMTYPE]string{
			enums.FPDF_FORMTYPE_ACRO_FORM: "acroform", enums.FPDF_FORMTYPE_XFA_FULL: "xfa-full", enums.FPDF_FORMTYPE_XFA_FOREGROUND: "xfa-foreground",
		}[form.FormType]
	}
	if n, err := pdf.FPDFDoc_GetAttachmentCount(&requests.FPDFDoc_GetAttachmentCount{Document: document}); err == nil {
		f.Attachments = max(n.AttachmentCount, 0)
	}
	if n, err := pdf.FPDFDoc_GetJavaScriptActionCount(&requests.FPDFDoc_GetJavaScriptActionCount{Document: document}); err == nil {
		f.Scripts = max(n.JavaScriptActionCount, 0)
	}
	if n, err := pdf.FPDF_GetSignatureCount(&requests.FPDF_GetSignatureCount{Document: document}); err == nil {
		f.Signatures = max(n.Count, 0)
	}
	if t, err := pdf.FPDFCatalog_IsTagged(&requests.FPDFCatalog_IsTagged{Document: document}); err == nil {
		f.Tagged = t.IsTagged
	}
	if lang, err := pdf.FPDFCatalog_GetLanguage(&requests.FPDFCatalog_GetLanguage{Document: document}); err == nil && lang.Language != "" {
		f.Language, f.LanguageFrom = printable(lang.Language), "declared"
	}
	return nil
}

// printable is text of a document in a form that can't spoil a terminal or a log: one line, bounded.
func printable(text string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return -1
	}, strings.ToValidUTF8(text, "�"))
	if len(clean) > maxMeta {
		cut := maxMeta
		for cut > 0 && !utf8.RuneStart(clean[cut]) {
			cut--
		}
		clean = clean[:cut] + "…"
	}
	return strings.TrimSpace(clean)
}

// refused says why a document does not open.
func (l *look) refused(err error) {
	if l.meter.over {
		l.say(answer{Code: codeTooLarge, Detail: errTooLarge.Error()})
		return
	}
	for code, known := range map[string]error{
		codePassword: pdfium_errors.ErrPassword, codeHandler: pdfium_errors.ErrSecurity, codeFormat: pdfium_errors.ErrFormat,
	} {
		if errors.Is(err, known) {
			l.say(answer{Code: code, Detail: err.Error()})
			return
		}
	}
	// Success, unknown and the like come for documents without a usable page tree.
	for _, known := range []error{pdfium_errors.ErrSuccess, pdfium_errors.ErrUnknown, pdfium_errors.ErrFile, pdfium_errors.ErrPage} {
		if errors.Is(err, known) {
			l.say(answer{Code: codeFormat, Detail: err.Error()})
			return
		}
	}
	l.broken(err.Error())
}

// broken says that the sandbox has ended, and on which page.
func (l *look) broken(detail string) {
	a := answer{Code: codeTrap, Detail: detail, At: l.at, Last: true}
	if l.memory.denied.Load() {
		a.Code = codeOutOfRoom
	}
	if l.at > 0 {
		a.Failed = l.bomb()
	}
	l.say(a)
}
