package jet_test

import (
	"slices"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// TestTenantsAreApplied: the plan says what changes, whoever does not name tenants leaves them alone, and what waits in the lane of one that goes comes out of it.
func TestTenantsAreApplied(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	acme, bolt := tenant.Tenant{Name: "acme", Source: "in/acme/", Documents: 5}, tenant.Tenant{Name: "bolt", Source: "bolt"}
	apply := func(set tenant.Set) (did []string) {
		t.Helper()
		plan, err := b.Diff(t.Context(), jet.Topology{Replicas: 1, Tenants: set})
		if err == nil {
			err = b.Execute(t.Context(), plan, false)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range plan.Changes {
			verb := "change"
			if c.Create {
				verb = "create"
			} else if c.Remove {
				verb = "remove"
			}
			for _, f := range c.Fields {
				verb += " " + f.Name
			}
			did = append(did, verb+" "+c.Kind+" "+c.Name)
		}
		return did
	}
	expect := func(did []string, want ...string) {
		t.Helper()
		if !slices.Equal(did, want) {
			t.Fatalf("the plan was %q, want %q", did, want)
		}
	}
	expect(apply(tenant.Set{acme, bolt}), "create tenant acme", "create tenant bolt")
	expect(apply(nil))
	acme.Documents = 6
	expect(apply(tenant.Set{acme, bolt}), "change documents tenant acme")

	hint := event.NewDropped(document.Source{Bucket: "bolt", Key: "a.pdf", ETag: "1", Size: 1, ModTime: noon}).Output()
	hint.Subject = event.SubjectDroppedOf("bolt")
	if err := b.Publish(t.Context(), hint); err != nil {
		t.Fatal(err)
	}
	expect(apply(tenant.Set{acme}), "remove tenant bolt")
	var left []string
	for q, err := range b.Queue(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, q.Subject+" "+q.Work.Source.Key)
	}
	expect(left, "pdf.dropped a.pdf")
	set, err := b.Tenants(t.Context())
	if err != nil || !slices.Equal(set, tenant.Set{acme}) {
		t.Fatal(set, err)
	}
}
