package tenant_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

func TestWhoOwnsWhat(t *testing.T) {
	all := tenant.Set{{Name: "acme", Source: "inbox/acme/"}, {Name: "bolt", Source: "bolt-in"}}
	if err := all.Validate(); err != nil {
		t.Fatal(err)
	}
	for path, owner := range map[string]string{
		"inbox/acme/a.pdf": "acme", "inbox/acme/deep/a.pdf": "acme", "inbox/acme-2/a.pdf": "", "inbox/a.pdf": "", "bolt-in/a.pdf": "bolt", "bolt-in-2/a.pdf": "",
	} {
		bucket, key, _ := strings.Cut(path, "/")
		if got, _ := all.Of(document.Source{Bucket: bucket, Key: key}); got.Name != owner {
			t.Errorf("%s is of %q, want %q", path, got.Name, owner)
		}
	}
}

func TestWhichInboxHoldsATenant(t *testing.T) {
	for source, in := range map[string]bool{
		"inbox": true, "inbox/acme/": true, "shared/team-a/acme/": true, "shared/team-a/": true, "shared/": false, "shared": false, "shared/team-b/": false, "inbox-2": false,
	} {
		if got := (tenant.Tenant{Source: source}).In([]string{"inbox", "shared/team-a/"}); got != in {
			t.Errorf("%s: %t", source, got)
		}
	}
}

func TestWhatCantBeDeclared(t *testing.T) {
	for text, why := range map[string]string{
		`{"tenants":[{"name":"Acme","source":"in"}]}`:                                                "a name is",
		`{"tenants":[{"name":"dead","source":"in"}]}`:                                                "a name is",
		`{"tenants":[{"name":"a.b","source":"in"}]}`:                                                 "a name is",
		`{"tenants":[{"name":"acme","source":"in/acme"}]}`:                                           "neither BUCKET",
		`{"tenants":[{"name":"acme","source":"/"}]}`:                                                 "neither BUCKET",
		`{"tenants":[{"name":"acme","source":"in","documents":-1}]}`:                                 "negative",
		`{"tenants":[{"name":"acme","source":"in","over_quota":"later"}]}`:                           "over_quota",
		`{"tenants":[{"name":"acme","source":"in","docs":1}]}`:                                       "unknown field",
		`{"tenants":[{"name":"acme","source":"in"},{"name":"acme","source":"other"}]}`:               "twice",
		`{"tenants":[{"name":"acme","source":"in"},{"name":"bolt","source":"in/bolt/"}]}`:            "lies in the other",
		`{"tenants":[{"name":"acme","source":"in/bolt/deep/"},{"name":"bolt","source":"in/bolt/"}]}`: "lies in the other",
	} {
		path := filepath.Join(t.TempDir(), "tenants.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tenant.Read(path); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q and the file's name", text, err, why)
		}
	}
}

func TestOverQuota(t *testing.T) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.FixedZone("", 14*3600)) // it is the day before in UTC
	acme := tenant.Tenant{Name: "acme", Source: "in", Documents: 3, DeviceSeconds: 1.5}
	if over := acme.Over(tenant.Usage{Documents: 2, Bytes: 1 << 50, DeviceSeconds: 1.4}, noon); over != nil {
		t.Fatal(over)
	}
	over := acme.Over(tenant.Usage{Documents: 3}, noon)
	if over == nil || over.String() != "tenant acme has used 3 of 3 documents of today; it goes on at 2026-11-26T00:00:00Z" {
		t.Fatal(over)
	}
	if over := acme.Over(tenant.Usage{DeviceSeconds: 2.25}, noon); over == nil || over.Name != "device-seconds" {
		t.Fatal(over)
	}
	if tenant.Day(noon) != "2026-11-25" {
		t.Fatal(tenant.Day(noon))
	}
}
