package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Leaf is a pipeline whose services know a leaf node only: their streams are in the JetStream domain of a server behind it. The leaf has streams of its own in another domain.
type Leaf struct {
	*Pipeline // whose NATSURL is the server's behind
	hubConfig string
	hub       *Process
}

// hubDomain is the JetStream domain of the server behind the leaf.
const hubDomain = "hub"

// BehindLeaf starts a stock nats-server, a leaf node of it, a stock S3 server and the four services, each with the key and rights of its role on the leaf, and waits
// until all are ready.
func BehindLeaf(t testing.TB, data string) *Leaf {
	t.Helper()
	p := &Leaf{Pipeline: &Pipeline{t: t, Endpoints: Endpoints{
		NATSUser: "user", NATSPassword: "nats-secret", S3AccessKey: "user", S3SecretKey: "s3-secret", InboxBucket: "inbox",
	}}}
	p.startS3(filepath.Join(data, "s3"))
	users := filepath.Join(data, "users")
	if out := Run(t, "topology", "users", users, "--nats-domain", hubDomain); out.Code != 0 {
		t.Fatal(out.Stderr)
	}
	hubAddr, between, leafAddr := FreeAddr(t), FreeAddr(t), FreeAddr(t)
	config := func(name, text string) (path string) {
		t.Helper()
		path = filepath.Join(data, name+".conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	p.NATSURL, p.hubConfig = "nats://"+hubAddr, config("hub", fmt.Sprintf(`
listen: %q
jetstream { store_dir: %q, domain: %s }
leafnodes { listen: %q, authorization { user: leaf, password: leaf-secret, account: PDFMILL } }
accounts { PDFMILL { jetstream: enabled, users: [ { user: %q, password: %q } ] } }
`, hubAddr, filepath.Join(data, "hub"), hubDomain, between, p.NATSUser, p.NATSPassword))
	p.StartHub()
	leaf := config("leaf", fmt.Sprintf(`
listen: %q
jetstream { store_dir: %q, domain: leaf }
leafnodes { reconnect: 1s, remotes: [ { url: "nats-leaf://leaf:leaf-secret@%s", account: PDFMILL } ] }
accounts { PDFMILL { jetstream: enabled, include %q } }
`, leafAddr, filepath.Join(data, "leaf"), between, "users/nats-users.conf"))
	p.servers = append(p.servers, Start(t, nil, Server(t, "nats-server"), "--config", leaf))
	as := func(role string) []string {
		return []string{
			"PDFMILL_NATS_URL=nats://" + leafAddr, "PDFMILL_NATS_NKEY=" + filepath.Join(users, role+".nk"), "PDFMILL_NATS_DOMAIN=" + hubDomain,
			"PDFMILL_S3_ENDPOINT=" + p.S3Endpoint, "PDFMILL_S3_ACCESS_KEY=" + p.S3AccessKey, "PDFMILL_S3_SECRET_KEY=" + p.S3SecretKey,
			"PDFMILL_HTTP_ADDR=127.0.0.1:0", "PDFMILL_SCAN_INTERVAL=200ms", "PDFMILL_TOPOLOGY=wait",
		}
	}
	p.env = append(as("admin"), "PDFMILL_NATS_INBOX_PREFIX=_INBOX_admin")
	for _, name := range []string{"ingest", "validator", "gpu-runner", "publisher"} { // they wait for servers and streams
		p.Processes = append(p.Processes, Start(t, as(name), Binary(t, "pdfmill-"+name)))
	}
	p.Await("the streams are made", func() bool { return p.Run("topology", "apply").Code == 0 })
	for _, service := range p.Processes {
		service.Await("ready", func() bool { return Ready(t, service) })
	}
	return p
}

// Await waits for a state of the server behind the leaf.
func (p *Leaf) Await(awaited string, done func() bool) {
	p.t.Helper()
	p.hub.Await(awaited, done)
}

// StartHub starts the server behind the leaf, at first or after KillHub.
func (p *Leaf) StartHub() {
	p.t.Helper()
	p.hub = Start(p.t, nil, Server(p.t, "nats-server"), "--config", p.hubConfig)
}

// KillHub ends the server behind the leaf as a power cut would.
func (p *Leaf) KillHub() { p.hub.Kill() }
