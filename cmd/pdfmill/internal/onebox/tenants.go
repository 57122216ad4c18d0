package onebox

import (
	"path/filepath"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/endpoints"
	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/rights"
	"github.com/pdfmill/pdfmill/embedded"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// guests are the accounts of tenants that have one.
func (b *Box) guests(tenants tenant.Set) []embedded.Guest {
	var all []embedded.Guest
	for _, t := range tenants.WithAccounts() {
		who, r := rights.TenantUser(t.Name), jet.TenantRights(t.Name)
		g := embedded.Guest{
			Name: jet.TenantAccount(t.Name), MaxStreams: 1, MaxConsumers: rights.MaxConsumers,
			Users: []embedded.User{{Name: who, Password: b.secrets["nats-"+who], Publish: r.Publish, Subscribe: r.Subscribe}},
		}
		for _, p := range jet.Passages(t.Name) {
			g.Services = append(g.Services, embedded.Service{Subject: p.Subject, Local: p.Local})
		}
		all = append(all, g)
	}
	return all
}

// TenantsDir is the folder below the data directory with a folder for each tenant, in which are the endpoints to give to it.
const TenantsDir = "tenants"

// TenantEndpoints are what each tenant is to be told, by the folder in which they belong.
func (b *Box) TenantEndpoints(tenants tenant.Set) map[string]endpoints.Endpoints {
	all := map[string]endpoints.Endpoints{}
	for _, t := range tenants {
		who := rights.TenantUser(t.Name)
		e := endpoints.Endpoints{S3Endpoint: b.s3.URL(), S3AccessKey: who, S3SecretKey: b.secrets["s3-"+who], Bucket: lifecycle.DefaultBucket, Version: lifecycle.Version}
		e.InboxBucket, e.InboxPrefix = t.Bucket()
		if t.Account {
			e.NATSURL, e.NATSUser, e.NATSPassword = b.nats.URL(), who, b.secrets["nats-"+who]
		}
		all[filepath.Join(b.dir, TenantsDir, t.Name)] = e
	}
	return all
}
