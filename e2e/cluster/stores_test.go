//go:build cluster

package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// landlord is a stand-alone store with the users that pdfmill has written the policies of.
type landlord struct {
	t       *testing.T
	address string
	secrets map[string]string // by user, root's too
}

// roles and tenants that are users of a store.
var tenantsOfStores = []string{"tenant-acme", "tenant-bolt"}

func (l *landlord) as(user string) *minio.Client {
	l.t.Helper()
	client, err := minio.New(l.address, &minio.Options{Creds: credentials.NewStaticV4(user, l.secrets[user], ""), MaxRetries: 1})
	if err != nil {
		l.t.Fatal(err)
	}
	return client
}

func (l *landlord) command(program string, env []string, args ...string) {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), program, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("%s %q: %v\n%s", filepath.Base(program), args, err, out)
	}
}

// await waits until the store answers, and makes the buckets.
func (l *landlord) await(p *rig.Process) {
	l.t.Helper()
	p.Await("it answers", func() bool {
		response, err := http.Get("http://" + l.address + "/") //nolint:noctx // it is on this machine
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
	for _, bucket := range []string{"inbox", "bolt-in", "shared", "pdfmill", "foreign"} {
		p.Await("bucket "+bucket, func() bool { return l.as("root").MakeBucket(l.t.Context(), bucket, minio.MakeBucketOptions{}) == nil })
	}
}

// minioStore gives each user a policy of its own.
func minioStore(t *testing.T, policies string, users []string) *landlord {
	l := &landlord{t: t, address: rig.FreeAddr(t), secrets: map[string]string{"root": rand.Text()}}
	dir := t.TempDir()
	p := rig.Start(t, []string{"HOME=" + dir, "MINIO_ROOT_USER=root", "MINIO_ROOT_PASSWORD=" + l.secrets["root"], "MINIO_BROWSER=off", "MINIO_UPDATE=off"},
		rig.Server(t, "minio"), "server", "--quiet", "--address", l.address, filepath.Join(dir, "data"))
	l.await(p)
	mc := func(args ...string) {
		t.Helper()
		l.command(rig.Server(t, "mc"), []string{"MC_HOST_mill=http://root:" + l.secrets["root"] + "@" + l.address}, append([]string{"--config-dir", filepath.Join(dir, "mc"), "--quiet"}, args...)...)
	}
	for _, user := range users {
		l.secrets[user] = rand.Text()
		mc("admin", "user", "add", "mill", user, l.secrets[user])
		mc("admin", "policy", "create", "mill", "pdfmill-"+user, filepath.Join(policies, user+"-s3-policy.json"))
		mc("admin", "policy", "attach", "mill", "pdfmill-"+user, "--user", user)
	}
	return l
}

// gatewayStore is versitygw, where policies are of buckets.
func gatewayStore(t *testing.T, policies string, users []string) *landlord {
	l := &landlord{t: t, address: rig.FreeAddr(t), secrets: map[string]string{"root": rand.Text()}}
	dir := t.TempDir()
	for _, folder := range []string{"data", "users"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	program := rig.Server(t, "versitygw")
	root := []string{"ROOT_ACCESS_KEY=root", "ROOT_SECRET_KEY=" + l.secrets["root"]}
	p := rig.Start(t, root, program, "--port", l.address, "--iam-dir", filepath.Join(dir, "users"), "posix", filepath.Join(dir, "data"))
	l.await(p)
	for _, user := range users {
		l.secrets[user] = rand.Text()
		l.command(program, nil, "admin", "--access", "root", "--secret", l.secrets["root"], "--endpoint-url", "http://"+l.address, "create-user", "--access", user, "--secret", l.secrets[user], "--role", "user")
	}
	for _, bucket := range []string{"inbox", "bolt-in", "shared", "pdfmill"} {
		policy, err := os.ReadFile(filepath.Join(policies, bucket+"-bucket-policy.json"))
		if err == nil {
			err = l.as("root").SetBucketPolicy(t.Context(), bucket, string(policy))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// TestStoresRefuse: what topology users writes for services and tenants, on stand-alone stores: each user does what it must, and the store refuses it everything else.
func TestStoresRefuse(t *testing.T) {
	policies, declared := filepath.Join(t.TempDir(), "users"), filepath.Join(t.TempDir(), "tenants.json")
	if err := os.WriteFile(declared, []byte(`{"tenants": [{"name": "acme", "source": "inbox/acme/"}, {"name": "bolt", "source": "bolt-in"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := rig.Run(t, "topology", "users", policies, "--inbox", "inbox", "--inbox", "bolt-in", "--inbox", "shared/team-a/", "--tenants", declared); out.Code != 0 {
		t.Fatal(out.Stderr)
	}
	users := slices.Concat(services, []string{"user", "operator"}, tenantsOfStores)
	for name, start := range map[string]func(*testing.T, string, []string) *landlord{"MinIO": minioStore, "versitygw": gatewayStore} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := start(t, policies, users)
			for _, user := range users {
				l.tries(user)
			}
		})
	}
}

// rightsInStores are what each user may do, by wish, in which places; "list" is of buckets.
var rightsInStores = map[string]map[string]string{
	"ingest":     {"read": "inbox acme bolt team-a source", "write": "source", "list": "inbox bolt-in shared pdfmill"},
	"validator":  {"read": "source job acme-job bolt-job", "write": "source job acme-job bolt-job", "list": "pdfmill"},
	"gpu-runner": {"read": "source job acme-job bolt-job", "write": "job acme-job bolt-job", "list": "pdfmill"},
	"publisher":  {"read": "source job acme-job bolt-job", "write": "job acme-job bolt-job", "delete": "source job acme-job bolt-job", "list": "pdfmill"},
	"user": {
		"read": "inbox acme bolt team-a job acme-job bolt-job", "write": "inbox acme bolt team-a", "delete": "inbox acme bolt team-a", "list": "inbox bolt-in shared pdfmill",
	},
	"operator": {
		"read": "inbox acme bolt team-a source job acme-job bolt-job other", "write": "inbox acme bolt team-a job acme-job bolt-job", "delete": "inbox acme bolt team-a source job acme-job bolt-job",
		"list": "inbox bolt-in shared pdfmill",
	},
	"tenant-acme": {"read": "acme acme-job", "write": "acme", "delete": "acme"},
	"tenant-bolt": {"read": "bolt bolt-job", "write": "bolt", "delete": "bolt", "list": "bolt-in"},
}

// tries has a user wish for everything everywhere.
func (l *landlord) tries(user string) {
	t, root, client := l.t, l.as("root"), l.as(user)
	t.Helper()
	for place, at := range map[string][2]string{
		"inbox": {"inbox", "doc.pdf"}, "acme": {"inbox", "acme/doc.pdf"}, "beside acme": {"inbox", "acme-2.pdf"}, "bolt": {"bolt-in", "doc.pdf"}, "team-a": {"shared", "team-a/doc.pdf"},
		"team-b": {"shared", "team-b/doc.pdf"}, "source": {"pdfmill", "source/x.pdf"}, "job": {"pdfmill", "jobs/x/document.md"}, "acme-job": {"pdfmill", "tenants/acme/x/document.md"},
		"bolt-job": {"pdfmill", "tenants/bolt/x/document.md"}, "other": {"pdfmill", "other"}, "foreign": {"foreign", "doc.pdf"},
	} {
		for wish, do := range wishes {
			// What is asked for is there, so that nothing but the rights refuses it.
			if _, err := root.PutObject(t.Context(), at[0], at[1], bytes.NewReader(nil), 0, minio.PutObjectOptions{}); err != nil {
				t.Fatal(err)
			}
			may := slices.Contains(strings.Fields(rightsInStores[user][wish]), place)
			switch wish {
			case "list":
				may = slices.Contains(strings.Fields(rightsInStores[user][wish]), at[0])
			case "read", "write", "delete":
				if place == "beside acme" && strings.Contains(" "+rightsInStores[user][wish]+" ", " inbox ") {
					may = true
				}
			}
			err := do(t.Context(), client, at[0], at[1])
			if err != nil && minio.ToErrorResponse(err).Code != "AccessDenied" {
				t.Errorf("%s, %s %s: %v", user, wish, place, err)
			}
			if (err == nil) != may {
				t.Errorf("%s, %s %s: allowed %t, want %t", user, wish, place, err == nil, may)
			}
		}
	}
	// A document of more than one part, and giving up on one, as the services' client does it.
	core := minio.Core{Client: client}
	for _, at := range [][2]string{{"pdfmill", "source/big.pdf"}, {"pdfmill", "tenants/acme/big"}, {"inbox", "acme/big.pdf"}, {"bolt-in", "big.pdf"}} {
		place := map[string]string{"source/big.pdf": "source", "tenants/acme/big": "acme-job", "acme/big.pdf": "acme", "big.pdf": "bolt"}[at[1]]
		may := slices.Contains(strings.Fields(rightsInStores[user]["write"]), place)
		if err := inParts(t.Context(), core, at[0], at[1]); (err == nil) != may {
			t.Errorf("%s, write %s in parts: %v, want allowed %t", user, place, err, may)
		}
	}
	var buckets []string
	if all, err := client.ListBuckets(t.Context()); err == nil {
		for _, b := range all {
			buckets = append(buckets, b.Name)
		}
	}
	for _, b := range buckets {
		if !strings.Contains(" "+rightsInStores[user]["list"]+" ", " "+b+" ") {
			t.Errorf("%s sees that there is a bucket %s", user, b)
		}
	}
	if err := client.MakeBucket(t.Context(), "of-"+user, minio.MakeBucketOptions{}); err == nil {
		t.Errorf("%s may make buckets", user)
	}
}

// inParts begins an object of several parts and gives it up.
func inParts(ctx context.Context, core minio.Core, bucket, key string) error {
	id, err := core.NewMultipartUpload(ctx, bucket, key, minio.PutObjectOptions{})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if _, err := core.PutObjectPart(ctx, bucket, key, id, 1, strings.NewReader("x"), 1, minio.PutObjectPartOptions{}); err != nil {
		return fmt.Errorf("part: %w", err)
	}
	return core.AbortMultipartUpload(ctx, bucket, key, id)
}
