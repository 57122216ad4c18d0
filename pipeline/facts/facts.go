// Package facts is what is known of a document after one look at it, without its contents being trusted: for the planner, for the manifest, for people.
package facts

import "github.com/pdfmill/pdfmill/pipeline/failure"

// ObjectName is the object, below the prefix of a pass, that holds the Facts of its document; ThumbnailName, beside it, is a small PNG of the first page.
const (
	ObjectName    = "inspection.json"
	ThumbnailName = "thumbnail.png"
)

// MaxObject bounds the object in bytes when it is read back: some hundred bytes a page.
const MaxObject = 256 << 20

// Facts of a document that opens. Sizes are points (1/72 inch).
type Facts struct {
	Pages int `json:"pages"`
	// LoadablePages counts the pages that are there and keep to the limits; the others are in Failed.
	LoadablePages int          `json:"loadable_pages"`
	Failed        []FailedPage `json:"failed,omitempty"`
	MaxWidth      float64      `json:"max_width"`
	MaxHeight     float64      `json:"max_height"`

	Version  string `json:"version,omitempty"` // of the PDF format: "1.7"
	Producer string `json:"producer,omitempty"`
	Creator  string `json:"creator,omitempty"`
	Title    string `json:"title,omitempty"`

	Security     int    `json:"security,omitempty"`     // revision of the security handler, 0 when not encrypted
	Password     bool   `json:"password,omitempty"`     // it opened with one of the passwords that were given, not without
	NoExtract    bool   `json:"no_extract,omitempty"`   // its author forbids taking text out of it
	Restrictions string `json:"restrictions,omitempty"` // the policy under which a forbidden document went on: "ignore"

	Form        string `json:"form,omitempty"` // acroform | xfa-full | xfa-foreground
	Attachments int    `json:"attachments,omitempty"`
	Scripts     int    `json:"scripts,omitempty"` // JavaScript actions of the document; they are counted, never run
	Signatures  int    `json:"signatures,omitempty"`
	Tagged      bool   `json:"tagged,omitempty"`

	Language     string `json:"language,omitempty"`      // ISO 639 or BCP 47
	LanguageFrom string `json:"language_from,omitempty"` // declared (by the document) | guessed (from its first pages)

	Chars     int64 `json:"chars"`      // about, on the pages whose text was looked at
	TextPages int   `json:"text_pages"` // of these, how many have a text layer
	Images    int64 `json:"images"`
	Fonts     Fonts `json:"fonts,omitzero"`

	// PageList has every page that was looked into, in order. Partial says why it is not all of them, or why some have no character count.
	PageList []Page `json:"page_list,omitempty"`
	Partial  string `json:"partial,omitempty"`

	Repair *Repair `json:"repair,omitempty"`
}

// Page is what one page is made of. Width and height are as it is shown, its rotation applied.
type Page struct {
	Page     int     `json:"page"`
	Width    float64 `json:"width"`
	Height   float64 `json:"height"`
	Rotation int     `json:"rotation,omitempty"` // degrees, clockwise
	Objects  int     `json:"objects"`
	// Chars is about how many characters the page shows; -1 when its text was not looked at, see Facts.Partial.
	Chars  int   `json:"chars"`
	Images int   `json:"images,omitempty"`
	Pixels int64 `json:"pixels,omitempty"` // of all images
	// Content is how many bytes its streams inflate to, where they are large enough to be measured.
	Content int64 `json:"content,omitempty"`

	// GridBegin and GridEnd are how many columns the table has that the page's text begins and ends with, 0: none. Looked for only where marker may get the page.
	GridBegin int `json:"grid_begin,omitempty"`
	GridEnd   int `json:"grid_end,omitempty"`

	// What follows is found only where an engine is chosen for each page. Covered is the share of the page that its largest image covers, Readable how much
	// of a sample of its text layer can be read; Kind is what that comes to.
	Covered  float64   `json:"covered,omitempty"`
	Readable *Readable `json:"readable,omitempty"`
	Kind     string    `json:"kind,omitempty"`
}

// Readable are the signs of a text layer that says what the page shows, or does not. Shares are 0 to 1.
type Readable struct {
	Unknown  float64 `json:"unknown,omitempty"`  // characters that mean nothing in Unicode: private, unassigned, control
	Unmapped float64 `json:"unmapped,omitempty"` // characters whose font says no Unicode value
	Mute     float64 `json:"mute,omitempty"`     // words in Latin letters without a vowel
}

// Kinds of pages, for the choice of an engine.
const (
	KindBlank   = "blank"   // nothing is drawn on it
	KindScanned = "scanned" // something is drawn, and there is no text
	KindGarbled = "garbled" // its text layer does not say what it shows
	KindProse   = "prose"   // readable text and nothing else
	KindMixed   = "mixed"   // readable text, and images or drawings
	KindUnknown = "unknown" // nobody looked
)

// FailedPage is a page that no engine will see: it can't be loaded, or breaks a limit.
type FailedPage struct {
	Page    int           `json:"page"`
	Class   failure.Class `json:"class"`
	Message string        `json:"message"`
}

// Fonts are signs that a text layer may not say what the page shows, found on the first pages.
type Fonts struct {
	NotEmbedded int `json:"not_embedded,omitempty"` // text objects, of those looked at, whose font the document does not bring
	Unmapped    int `json:"unmapped,omitempty"`     // characters, of those looked at, without a known Unicode value
	Looked      int `json:"looked,omitempty"`       // characters looked at
}

// Repair says that what goes on is not what was dropped. The original is kept.
type Repair struct {
	Tool    string   `json:"tool"` // "qpdf 11.3.0"
	Reason  string   `json:"reason"`
	SHA256  string   `json:"sha256"` // of the repaired copy
	Bytes   int64    `json:"bytes"`
	Key     string   `json:"key,omitempty"` // of the repaired copy in pdfmill's bucket
	Notices []string `json:"notices,omitempty"`
}
