// Package rights is who may do what: the roles' grants on objects, beside those on NATS subjects of package jet, and both as servers' configuration.
package rights

import (
	"strings"

	"github.com/pdfmill/pdfmill/embedded"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Buckets of an installation.
type Buckets struct {
	Inboxes []string // BUCKET, or BUCKET/PREFIX for what begins like this there
	Own     string   // pdfmill's
}

// Where things lie in pdfmill's own bucket.
const (
	sources = "source/"
	jobs    = "jobs/"
)

// Grants are what a role needs of the object store. Nobody but an inbox' users deletes anything; the admin is not asked.
func (b Buckets) Grants(role string) []embedded.Grant {
	switch role {
	case stage.Ingest:
		return append(b.inboxes(embedded.Grant{}), embedded.Grant{Bucket: b.Own, Prefix: sources, Write: true})
	case stage.Validator:
		// It writes repaired copies, under their own hash, and what it found in a document. Who reads a source checks its hash.
		return []embedded.Grant{{Bucket: b.Own, Prefix: sources, Write: true}, {Bucket: b.Own, Prefix: jobs, Write: true}}
	case stage.GPURunner:
		return []embedded.Grant{{Bucket: b.Own, Prefix: sources}, {Bucket: b.Own, Prefix: jobs, Write: true}}
	case stage.Publisher:
		return []embedded.Grant{{Bucket: b.Own, Prefix: jobs, Write: true}}
	case jet.RoleUser:
		return append(b.inboxes(embedded.Grant{Write: true, Delete: true}), embedded.Grant{Bucket: b.Own, Prefix: jobs})
	case jet.RoleOperator:
		return append(b.inboxes(embedded.Grant{Write: true, Delete: true}), embedded.Grant{Bucket: b.Own})
	}
	return nil
}

// inboxes gives the same on each inbox.
func (b Buckets) inboxes(like embedded.Grant) []embedded.Grant {
	all := make([]embedded.Grant, 0, len(b.Inboxes)+1) // and pdfmill's own
	for _, inbox := range b.Inboxes {
		like.Bucket, like.Prefix, _ = strings.Cut(inbox, "/")
		all = append(all, like)
	}
	return all
}
