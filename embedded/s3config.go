package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
)

// Account of the S3 gateway. The first one owns every bucket and may do everything; the others have only their grants.
type Account struct {
	Access, Secret string
	Grants         []Grant // not for the first
	// Private says that its grants are in no policy that is stored with a bucket: they hold for as long as the gateway runs. Those that many accounts have would
	// not fit there.
	Private bool
}

// Grant lets an account list a bucket, and read what begins with Prefix there; with Write also put and copy to it, with Delete also remove it.
type Grant struct {
	Bucket string
	Prefix string // "" for the whole bucket
	Write  bool
	Delete bool
	// Blind takes the right to list away. Its holder is told "forbidden" of what is not there.
	Blind bool
}

// S3Config says how to run the gateway.
type S3Config struct {
	Dir        string     // holds the buckets as folders; absolute, made when missing; on a file system with user attributes (xattr)
	Addr       string     // host:port; default 127.0.0.1:0, which picks a port
	Durability Durability // default Synced
	Accounts   []Account  // at least one
	Buckets    []string   // made when missing; 3 to 63 lower-case letters, digits, "-" and "."
	// Announce is called for every object written to AnnounceBuckets, when it is stored and before the client gets its answer. Its error, or 15 s of silence,
	// makes that answer a 500, and clients try again. The object stays: a client that gives up, or whose second try is conditional on its absence, leaves an object
	// that only a listing finds. Files put into the folder by other means are not announced at all.
	Announce        func(context.Context, Put) error
	AnnounceBuckets []string     // each one of Buckets
	Log             *slog.Logger // default: discards

	fsync fsync // in place of the real one
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// check finds every mistake at once.
func (c S3Config) check() error {
	var errs []error
	fail := func(format string, v ...any) { errs = append(errs, fmt.Errorf(format, v...)) }
	if len(c.Accounts) == 0 {
		fail("a gateway without accounts would be of use to nobody")
	}
	seen := map[string]bool{}
	for i, a := range c.Accounts {
		if a.Access == "" || a.Secret == "" || seen[a.Access] {
			fail("account %d (%q) needs an access name of its own and a secret", i+1, a.Access)
		}
		seen[a.Access] = true
		for _, g := range a.Grants {
			if !slices.Contains(c.Buckets, g.Bucket) {
				fail("account %q has a grant on %q, which is none of the buckets", a.Access, g.Bucket)
			}
		}
	}
	for _, bucket := range c.Buckets {
		if !bucketName.MatchString(bucket) {
			fail("%q is not a bucket's name", bucket)
		}
	}
	for _, bucket := range c.AnnounceBuckets {
		if !slices.Contains(c.Buckets, bucket) {
			fail("%q is to be announced and none of the buckets", bucket)
		}
	}
	if len(c.AnnounceBuckets) > 0 && c.Announce == nil {
		fail("buckets to announce, and nobody to tell")
	}
	if _, err := c.Durability.synced(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
