package ingest

import "errors"

// errUnasked says that the system can't tell whether a file is open for writing.
var errUnasked = errors.New("the system can't tell who has the file open")
