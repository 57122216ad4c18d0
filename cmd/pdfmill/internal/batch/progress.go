package batch

// Progress hears how a run goes. Its methods are called one at a time.
type Progress interface {
	// Document is called once for each document that ended, in the order in which they end.
	Document(Document)
	// Pages tells how many pages are known of and how many of them are done.
	Pages(done, known int)
	// Close is called once, when nothing follows.
	Close()
}
