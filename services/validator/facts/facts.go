// Package facts is what is known of a document after one look at it, without its contents being trusted.
package facts

// Facts of a document that opens. Sizes are points (1/72 inch).
type Facts struct {
	Pages      int     `json:"pages"`
	Unloadable []int   `json:"unloadable,omitempty"` // pages that the document claims and does not have; at most 100 are named
	MaxWidth   float64 `json:"max_width"`
	MaxHeight  float64 `json:"max_height"`
	Version    string  `json:"version,omitempty"`  // of the PDF format: "1.7"
	Security   int     `json:"security,omitempty"` // revision of the security handler, 0 when not encrypted
	NoExtract  bool    `json:"no_extract,omitempty"`
	// LoadablePages counts the pages that are there.
	LoadablePages int `json:"loadable_pages"`
}
