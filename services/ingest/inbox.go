package ingest

import (
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/document"
)

// inbox is a bucket, or what begins with a prefix in one.
type inbox struct{ bucket, prefix string }

// parseInbox reads BUCKET or BUCKET/PREFIX.
func parseInbox(text string) inbox {
	bucket, prefix, _ := strings.Cut(text, "/")
	return inbox{bucket, prefix}
}

func (i inbox) String() string {
	if i.prefix == "" {
		return i.bucket
	}
	return i.bucket + "/" + i.prefix
}

// holds says whether an object lies in the inbox.
func (i inbox) holds(source document.Source) bool {
	return source.Bucket == i.bucket && strings.HasPrefix(source.Key, i.prefix)
}

// lease is the name of the right to list the inbox.
func (i inbox) lease() string { return "listing." + document.Digest("inbox", i.bucket, i.prefix) }

// inboxes are the configured ones.
func (c Config) inboxes() []inbox {
	all := make([]inbox, len(c.Inbox))
	for i, text := range c.Inbox {
		all[i] = parseInbox(text)
	}
	return all
}
