package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// tenantReport is what `tenants ls --json` says of a tenant.
type tenantReport struct {
	Name string
	Used struct {
		Documents, Bytes int64
		DeviceSeconds    float64 `json:"device_seconds"`
	}
	Over *struct {
		Quota string
		Until time.Time
	}
	Waiting int
}

func tenants(t *testing.T, p *rig.Pipeline) map[string]tenantReport {
	t.Helper()
	var list struct{ Tenants []tenantReport }
	if err := json.Unmarshal([]byte(p.Pdfmill("tenants", "ls", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	all := map[string]tenantReport{}
	for _, r := range list.Tenants {
		all[r.Name] = r
	}
	return all
}

// TestTenantsOfUp: two tenants in folders of one inbox. What is beyond a quota waits and is said to, nobody else waits, and a larger quota lets it go on.
func TestTenantsOfUp(t *testing.T) {
	data, declared := t.TempDir(), filepath.Join(t.TempDir(), "tenants.json")
	write(t, declared, []byte(`{"tenants": [{"name": "acme", "source": "inbox/acme/", "documents": 2}, {"name": "bolt", "source": "inbox/bolt/"}]}`))
	p := rig.Up(t, data, "--tenants", declared)
	different := func(i int) []byte { return unique(read(t, "../samples/letter.pdf"), i) }
	p.Put("bolt/same.pdf", different(1), nil)
	for i := range 4 {
		if i%2 == 0 { // half of them through the gateway, half as files
			p.Put(fmt.Sprintf("acme/%d.pdf", i), different(i), nil)
		} else {
			write(t, filepath.Join(p.InboxDir, "acme", fmt.Sprintf("%d.pdf", i)), different(i))
		}
	}
	p.Put("nobodys.pdf", different(9), nil)
	pipelinetest.Eventually(t, "two of acme's wait, and all the others are converted", func() bool {
		all := tenants(t, p)
		return all["acme"].Waiting == 2 && all["acme"].Used.Documents == 2 && all["acme"].Used.DeviceSeconds > 0 && all["bolt"].Used.Documents == 1 &&
			strings.Contains(p.Pdfmill("status"), "4 converted")
	})
	if over := tenants(t, p)["acme"].Over; over == nil || over.Quota != "documents" || !over.Until.After(time.Now()) {
		t.Errorf("acme is over %+v", over)
	}
	if out := p.Pdfmill("status", "--tenant", "acme"); !strings.Contains(out, "2 documents wait: tenant acme has used 2 of 2 documents of today; it goes on at ") || strings.Contains(out, "bolt") {
		t.Errorf("status of acme:\n%s", out)
	}
	if out := p.Run("status", "--tenant", "nobody"); out.Code != 1 || !strings.Contains(out.Stderr, "pdfmill tenants ls") {
		t.Errorf("status of no tenant: exit %d, %s", out.Code, out.Stderr)
	}
	p.Stop(10 * time.Second)

	write(t, declared, []byte(`{"tenants": [{"name": "acme", "source": "inbox/acme/", "documents": 3}]}`))
	p = rig.Up(t, data, "--tenants", declared)
	pipelinetest.Eventually(t, "one more is converted", func() bool {
		all := tenants(t, p)
		return len(all) == 1 && all["acme"].Waiting == 1 && strings.Contains(p.Pdfmill("status", "--tenant", "acme"), "3 converted")
	})
	p.Stop(10 * time.Second)

	p = rig.Up(t, data) // nobody is a tenant any more
	pipelinetest.Eventually(t, "the last one is converted", func() bool { return strings.Contains(p.Pdfmill("status"), "6 converted") })
	p.Stop(10 * time.Second)

	write(t, declared, []byte(`{"tenants": [{"name": "acme", "source": "inbox/acme"}]}`))
	if out := rig.Run(t, "up", "--data", data, "--tenants", declared); out.Code != 2 || !strings.Contains(out.Stderr, declared) || !strings.Contains(out.Stderr, "BUCKET/FOLDER/") {
		t.Errorf("a declaration that is wrong: exit %d, %s", out.Code, out.Stderr)
	}
}
