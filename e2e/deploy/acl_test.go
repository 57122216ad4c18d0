package deploy

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// What Nomad's access control knows, in a namespace and of its variables. Whoever may submit jobs may run anything: only the deployer does.
var (
	namespaceCapabilities = []string{
		"list-jobs", "parse-job", "read-job", "submit-job", "read-logs", "alloc-lifecycle", "list-scaling-policies", "read-scaling-policy", "read-job-scaling", "scale-job",
	}
	variableCapabilities = []string{"list", "read", "write", "destroy"}
	vaultCapabilities    = []string{"read"}
)

// TestPoliciesAreNomads: the policies use words that Nomad knows, and none gives more than its first line says.
func TestPoliciesAreNomads(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(jobs, "acl", "*.policy.hcl"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%d policies, %v", len(files), err)
	}
	for _, file := range files {
		parsed, diags := hclparse.NewParser().ParseHCLFile(file)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".policy.hcl")
		checkPolicy(t, name, "", parsed.Body.(*hclsyntax.Body))
	}
}

// checkPolicy looks at the blocks of one, and at those within.
func checkPolicy(t *testing.T, name, within string, body *hclsyntax.Body) {
	t.Helper()
	known := map[string][]string{
		"/namespace": namespaceCapabilities, "namespace/variables": nil, "variables/path": variableCapabilities, "/path": vaultCapabilities,
		"/node": {"read"}, "/host_volume": {"write"},
	}
	for _, block := range body.Blocks {
		allowed, ok := known[within+"/"+block.Type]
		if !ok || (block.Type == "path" && within == "") != (name == "vault") {
			t.Errorf("%s: block %s in %q", name, block.Type, within)
		}
		for attribute, a := range block.Body.Attributes {
			value, diags := a.Expr.Value(nil)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			var words []string
			switch attribute {
			case "capabilities":
				for _, v := range value.AsValueSlice() {
					words = append(words, v.AsString())
				}
			case "policy":
				words = []string{value.AsString()}
			default:
				t.Errorf("%s: %s in %s", name, attribute, block.Type)
			}
			for _, word := range words {
				if !slices.Contains(allowed, word) || (name != "deployer" && slices.Contains([]string{"submit-job", "write", "destroy"}, word)) {
					t.Errorf("%s: %s is not for %s", name, word, block.Type)
				}
			}
		}
		checkPolicy(t, name, block.Type, block.Body)
	}
}
