// Package rights is who may do what: the roles' grants on objects, beside those on NATS subjects of package jet, and both as servers' configuration.
package rights

import (
	"strings"

	"github.com/pdfmill/pdfmill/embedded"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// Buckets of an installation.
type Buckets struct {
	Inboxes []string // BUCKET, or BUCKET/PREFIX for what begins like this there
	Own     string   // pdfmill's
}

// Where things lie in pdfmill's own bucket.
const sources = "source/"

// Grants are what a role needs of the object store. Nobody but an inbox' users deletes there, and nobody but who sweeps, the publisher and the operator, in pdfmill's own
// bucket; the admin is not asked.
func (b Buckets) Grants(role string) []embedded.Grant {
	switch role {
	case stage.Ingest:
		return append(b.inboxes(embedded.Grant{}), embedded.Grant{Bucket: b.Own, Prefix: sources, Write: true})
	case stage.Validator:
		// It writes repaired copies, under their own hash, and what it found in a document. Who reads a source checks its hash.
		return b.jobs(true, embedded.Grant{Bucket: b.Own, Prefix: sources, Write: true})
	case stage.GPURunner:
		return b.jobs(true, embedded.Grant{Bucket: b.Own, Prefix: sources})
	case stage.Publisher:
		return b.swept()
	case jet.RoleUser:
		return b.jobs(false, b.inboxes(embedded.Grant{Write: true, Delete: true})...)
	case jet.RoleOperator:
		return append(append(b.inboxes(embedded.Grant{Write: true, Delete: true}), b.swept()...), embedded.Grant{Bucket: b.Own})
	}
	return nil
}

// TenantUser is the name of a tenant's user of the object store, and of its files.
func TenantUser(name string) string { return "tenant-" + name }

// TenantGrants are what a tenant may do: put into its source, and read what became of it. It may list only a bucket that is all its own: in others it would see what
// there is of everybody's. Events name what it may read.
func (b Buckets) TenantGrants(t tenant.Tenant) []embedded.Grant {
	bucket, prefix := t.Bucket()
	return []embedded.Grant{
		{Bucket: bucket, Prefix: prefix, Write: true, Delete: true, Blind: prefix != ""},
		{Bucket: b.Own, Prefix: job.TenantPrefix(t.Name), Blind: true},
	}
}

// jobs adds the grants on all jobs, of tenants and of nobody, to others.
func (b Buckets) jobs(write bool, others ...embedded.Grant) []embedded.Grant {
	return append(others, embedded.Grant{Bucket: b.Own, Prefix: job.Jobs, Write: write}, embedded.Grant{Bucket: b.Own, Prefix: job.Tenants, Write: write})
}

// swept are the grants of who takes away what nobody needs any more: results of page ranges, which are marked before, and sources.
func (b Buckets) swept() []embedded.Grant {
	all := b.jobs(true, embedded.Grant{Bucket: b.Own, Prefix: sources})
	for i := range all {
		all[i].Delete = true
	}
	return all
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
