// Package tenant says whose a document is: a tenant is a source, a bucket or a folder of one, with quotas of its own. It knows no broker.
package tenant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/document"
)

// Most bounds the tenants of an installation: each is a lane, a label of metrics, and an account of the NATS servers.
const Most = 200

// What becomes of documents of a tenant that has used up a quota.
const (
	Wait   = "wait"   // they wait for the next day
	Refuse = "refuse" // they fail, with the class over-quota
)

// Tenant is a declaration.
type Tenant struct {
	Name string `json:"name"`
	// Source is BUCKET, or BUCKET/FOLDER/. No other tenant's lies in it.
	Source string `json:"source"`
	// Documents, Bytes and DeviceSeconds are what it may use on a day, by UTC; 0: there is no limit. Documents and bytes count when they are taken from the inbox,
	// seconds when an engine has worked for so long.
	Documents     int64   `json:"documents,omitempty"`
	Bytes         int64   `json:"bytes,omitempty"`
	DeviceSeconds float64 `json:"device_seconds,omitempty"`
	OverQuota     string  `json:"over_quota,omitempty"` // Wait, the default, or Refuse
	// Account says that the tenant has an account of its own on the NATS servers, into which its events are brought.
	Account bool `json:"account,omitempty"`
}

// Waits says what becomes of documents that are over a quota.
func (t Tenant) Waits() bool { return t.OverQuota != Refuse }

// Bucket and the prefix of keys there that are the tenant's.
func (t Tenant) Bucket() (bucket, prefix string) {
	bucket, prefix, _ = strings.Cut(t.Source, "/")
	return bucket, prefix
}

// Owns says whether an object is the tenant's.
func (t Tenant) Owns(s document.Source) bool {
	bucket, prefix := t.Bucket()
	return s.Bucket == bucket && strings.HasPrefix(s.Key, prefix)
}

// In says whether the tenant's source lies in one of the inboxes, each BUCKET or BUCKET/PREFIX.
func (t Tenant) In(inboxes []string) bool {
	bucket, prefix := t.Bucket()
	return slices.ContainsFunc(inboxes, func(inbox string) bool {
		in, begins, _ := strings.Cut(inbox, "/")
		return bucket == in && strings.HasPrefix(prefix, begins)
	})
}

// names may be a token of a subject, a label, and a part of a key.
var names = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// reserved are tokens that subjects of pdfmill's have where a tenant's has its name.
var reserved = []string{"dropped", "ingested", "validated", "rendered", "converted", "failed", "dead"}

// Validate reports everything that is wrong with the declaration, joined.
func (t Tenant) Validate() error {
	var faults []error
	fail := func(format string, v ...any) {
		faults = append(faults, fmt.Errorf("tenant %q: "+format, append([]any{t.Name}, v...)...))
	}
	if !names.MatchString(t.Name) || slices.Contains(reserved, t.Name) {
		fail("a name is up to 32 small letters, digits and dashes, begins with a letter, and is none of %s", strings.Join(reserved, ", "))
	}
	bucket, prefix := t.Bucket()
	if bucket == "" || strings.HasPrefix(prefix, "/") || (prefix != "" && !strings.HasSuffix(prefix, "/")) {
		fail("source %q is neither BUCKET nor BUCKET/FOLDER/", t.Source)
	}
	if t.Documents < 0 || t.Bytes < 0 || t.DeviceSeconds < 0 {
		fail("a quota is negative (0: no limit)")
	}
	if t.OverQuota != "" && t.OverQuota != Wait && t.OverQuota != Refuse {
		fail("over_quota is %q, it must be %s or %s", t.OverQuota, Wait, Refuse)
	}
	return errors.Join(faults...)
}

// Set is the tenants of an installation.
type Set []Tenant

// Of is the tenant that owns an object.
func (all Set) Of(s document.Source) (Tenant, bool) {
	i := slices.IndexFunc(all, func(t Tenant) bool { return t.Owns(s) })
	if i < 0 {
		return Tenant{}, false
	}
	return all[i], true
}

// WithAccounts are those that have accounts.
func (all Set) WithAccounts() Set {
	return slices.DeleteFunc(slices.Clone(all), func(t Tenant) bool { return !t.Account })
}

// Names of all, in order.
func (all Set) Names() []string {
	out := make([]string, len(all))
	for i, t := range all {
		out[i] = t.Name
	}
	slices.Sort(out)
	return out
}

// Validate reports everything that is wrong with the declarations, joined.
func (all Set) Validate() error {
	var faults []error
	if len(all) > Most {
		faults = append(faults, fmt.Errorf("%d tenants: there may be %d", len(all), Most))
	}
	for i, t := range all {
		faults = append(faults, t.Validate())
		for _, other := range all[:i] {
			if t.Name == other.Name {
				faults = append(faults, fmt.Errorf("tenant %q is declared twice", t.Name))
			}
			if strings.HasPrefix(within(t.Source), within(other.Source)) || strings.HasPrefix(within(other.Source), within(t.Source)) {
				faults = append(faults, fmt.Errorf("tenants %q and %q: one source lies in the other (%s, %s)", other.Name, t.Name, other.Source, t.Source))
			}
		}
	}
	return errors.Join(faults...)
}

// within is what the path of everything in a source begins with.
func within(source string) string {
	if strings.Contains(source, "/") {
		return source
	}
	return source + "/"
}

// Read reads the declarations in a file: {"tenants": [{"name": "acme", "source": "inbox/acme/", "documents": 1000}]}.
func Read(path string) (Set, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tenants: %w", err)
	}
	var file struct {
		Tenants Set `json:"tenants"`
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("tenants in %s: %w", path, err)
	}
	if err := file.Tenants.Validate(); err != nil {
		return nil, fmt.Errorf("tenants in %s: %w", path, err)
	}
	if file.Tenants == nil {
		file.Tenants = Set{} // none, which is not the same as nothing said
	}
	return file.Tenants, nil
}
