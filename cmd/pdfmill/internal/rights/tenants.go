package rights

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// Files for the NATS servers, when there are tenants: AccountsFile to include among their accounts, ImportsFile in pdfmill's.
const (
	AccountsFile = "nats-accounts.conf"
	ImportsFile  = "nats-imports.conf"
)

// account of a tenant, in the words of the servers' configuration.
type account struct {
	JetStream map[string]int `json:"jetstream"`
	Users     []user         `json:"users"`
	Exports   []export       `json:"exports"`
}

type export struct {
	Service  string   `json:"service"`
	Accounts []string `json:"accounts"` // that may import it, and no other
}

type imported struct {
	Service struct {
		Account string `json:"account"`
		Subject string `json:"subject"`
	} `json:"service"`
	To string `json:"to"`
}

// MaxConsumers bounds the consumers that a tenant may make: each takes memory of the servers.
const MaxConsumers = 100

// writeTenants writes a seed and a policy for each tenant, and the accounts of those that have one, beside the account own.
func writeTenants(dir string, tenants tenant.Set, b Buckets, own string) error {
	accounts, imports := map[string]account{}, []imported{}
	for _, t := range tenants {
		if err := writeJSON(PolicyFile(dir, TenantUser(t.Name)), "", PolicyOf(b.TenantGrants(t))); err != nil {
			return err
		}
		if !t.Account {
			continue
		}
		public, err := publicKey(SeedFile(dir, TenantUser(t.Name)))
		if err != nil {
			return fmt.Errorf("key of tenant %s: %w", t.Name, err)
		}
		a := account{JetStream: map[string]int{"max_streams": 1, "max_consumers": MaxConsumers}, Users: []user{{public, allowed(jet.TenantRights(t.Name))}}}
		for _, p := range jet.Passages(t.Name) {
			a.Exports = append(a.Exports, export{p.Subject, []string{own}})
			i := imported{To: p.Local}
			i.Service.Account, i.Service.Subject = jet.TenantAccount(t.Name), p.Subject
			imports = append(imports, i)
		}
		accounts[jet.TenantAccount(t.Name)] = a
	}
	if tenants == nil {
		return nil
	}
	// A file for each, which hold what belongs between the braces of a map.
	if err := writeMap(filepath.Join(dir, AccountsFile), accounts); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, ImportsFile), "imports: ", imports)
}

// writeMap writes what stands between the braces of a map, a line for each key.
func writeMap(path string, all map[string]account) error {
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var one bytes.Buffer
		encoder := json.NewEncoder(&one)
		encoder.SetEscapeHTML(false) // NATS knows no escapes in subjects
		if err := encoder.Encode(all[name]); err != nil {
			return fmt.Errorf("marshal %s: %w", path, err)
		}
		fmt.Fprintf(&text, "%q: %s", name, one.Bytes())
	}
	return os.WriteFile(path, text.Bytes(), 0o600)
}
