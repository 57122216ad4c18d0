//go:build cluster

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// LongVariable names the environment variable that asks for the long form: every scenario so many times.
const LongVariable = "PDFMILL_CLUSTER_ROUNDS"

// TestCluster breaks one thing after the other in one installation, under load, and has the checker look after each.
func TestCluster(t *testing.T) {
	c := build(t, nil)
	l := &load{cluster: c, samples: rig.Samples(t)}
	scenario := func(name string, run func(*testing.T)) {
		t.Run(name, func(t *testing.T) {
			c.t = t
			defer func() { c.t = c.root }()
			began := time.Now()
			run(t)
			if t.Failed() {
				return
			}
			c.settle()
			c.verify(name)
			t.Logf("%s took %s", name, time.Since(began).Round(time.Second))
		})
	}
	scenario("documents", l.corpus)
	scenario("encryption and temporary credentials", l.encrypted)
	scenario("rights", l.refusedTo)
	scenario("MinIO tells", l.told)
	for range rounds(t) {
		scenario("stream leader killed", l.leaderKilled)
		scenario("server cut off", l.cutOff)
		scenario("rolling restart of NATS", l.rolling)
		scenario("MinIO killed and slow", l.storeAway)
		scenario("replicas frozen past their ack wait", l.frozen)
		scenario("JetStream full", l.full)
		scenario("credentials and certificates replaced", l.rotated)
		scenario("clocks of hosts apart", l.skewed)
	}
	scenario("secrets", l.secretsKept)
}

func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv(LongVariable)
	if text == "" {
		return 1
	}
	n := 0
	if _, err := fmt.Sscan(text, &n); err != nil || n < 1 {
		t.Fatalf("%s=%q: a number of rounds", LongVariable, text)
	}
	return n
}

// load is documents that keep coming.
type load struct {
	*cluster
	samples [][]byte
	n       int
}

// some drops n documents. Every seventh is no PDF, so that it must fail.
func (l *load) some(n int) {
	l.t.Helper()
	for range n {
		content := rig.Document(l.samples, l.n)
		if l.n%7 == 6 {
			content = fmt.Appendf(nil, "<html>page %d not found</html>", l.n)
		}
		l.drop("inbox", fmt.Sprintf("doc-%05d.pdf", l.n), content)
		l.n++
	}
}

// during keeps documents coming until fault returns.
func (l *load) during(fault func()) {
	l.t.Helper()
	over := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(400 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-over:
				return
			case <-ticker.C:
				l.some(1)
			}
		}
	})
	defer group.Wait()
	defer close(over)
	fault()
}

// corpus drops the hostile documents that ship, and some ordinary ones.
func (l *load) corpus(t *testing.T) {
	paths, err := filepath.Glob("../testdata/corpus/*.pdf")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		l.drop("inbox", "corpus/"+filepath.Base(path), content)
	}
	l.some(10)
	for n := range 2 { // and again, which is another version
		l.drop("versioned", "same.pdf", rig.Document(l.samples, 90_000+n))
		l.settle()
	}
	l.drop("shared", "team-a/report.pdf", rig.Document(l.samples, 90_010))
	if _, err := l.s3.PutObject(t.Context(), "shared", "team-b/secret.pdf", strings.NewReader("theirs"), 6, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
}

// leaderKilled kills the server that leads the work queue, as a power cut would.
func (l *load) leaderKilled(*testing.T) {
	l.during(func() {
		l.pass(time.Second)
		was := l.leader("PDF_JOBS")
		was.process.Kill()
		l.until("another server leads", func() bool {
			info := l.look("PDF_JOBS")
			return info != nil && info.Cluster != nil && info.Cluster.Leader != "" && info.Cluster.Leader != was.name
		})
		l.pass(3 * time.Second)
		l.startNATS(was)
	})
	l.whole()
}

// cutOff takes the leader's host off the network for a while, without anybody being told, and puts it back. Where hosts are no namespaces, the server is frozen
// instead: from outside it looks the same.
func (l *load) cutOff(t *testing.T) {
	l.during(func() {
		was := l.leader("PDF_JOBS")
		if l.network.real {
			was.cable(t, "down")
		} else {
			was.process.Signal(syscall.SIGSTOP)
		}
		l.until("the others have a leader", func() bool {
			info := l.look("PDF_JOBS")
			return info != nil && info.Cluster != nil && info.Cluster.Leader != "" && info.Cluster.Leader != was.name
		})
		var meanwhile []string // everything goes on, whomever a service was connected to
		for n := range 2 * len(l.hosts) {
			key := fmt.Sprintf("cut-off/%05d.pdf", l.n+n)
			l.drop("inbox", key, rig.Document(l.samples, 93_000+l.n+n))
			meanwhile = append(meanwhile, "inbox/"+key)
		}
		for _, source := range meanwhile {
			l.ended(source)
		}
		if l.network.real {
			was.cable(t, "up")
		} else {
			was.process.Signal(syscall.SIGCONT)
		}
	})
	l.whole()
}

// rolling restarts the servers one after the other, each when the one before is up to date again.
func (l *load) rolling(t *testing.T) {
	l.during(func() {
		for _, s := range l.nats {
			if code := s.process.Stop(time.Minute); code != 0 && code != 1 {
				t.Errorf("%s: exit %d after SIGTERM", s.name, code)
			}
			l.startNATS(s)
			l.whole()
		}
	})
}

// storeAway kills MinIO, starts it again, and then makes everything to and from it slow.
func (l *load) storeAway(*testing.T) {
	l.during(func() {
		l.pass(time.Second)
		l.s3host.process.Kill()
		l.pass(3 * time.Second)
		l.startMinIO()
		l.s3host.proxy.delay.Store(int64(150 * time.Millisecond))
		l.pass(6 * time.Second)
	})
	l.s3host.proxy.delay.Store(0)
}

// frozen stops a replica of each service for longer than the ack wait, so that others take what it has in hand, and lets it go on with that.
func (l *load) frozen(t *testing.T) {
	side := l.n % len(l.hosts)
	l.some(6) // so that there is something in hand
	l.during(func() {
		for _, s := range services {
			l.running[s][side].Signal(syscall.SIGSTOP)
		}
		l.pass(15 * time.Second) // the ack wait is 10 s
		for _, s := range services {
			l.running[s][side].Signal(syscall.SIGCONT)
		}
	})
	for _, s := range services {
		if l.running[s][side].Gone() {
			t.Errorf("%s is gone after it stood still", s)
			l.start(s, side)
		}
	}
}

// full bounds the work queue so tightly that every stage has to wait for the next, and takes the GPUs away for a while.
func (l *load) full(t *testing.T) {
	const bound = 4 // fewer than a long document has ranges
	l.settle()
	l.pdfmill(0, "topology", "apply", "--replicas", "3", "--engines", "text", "--max-queued", fmt.Sprint(bound))
	for _, p := range l.running["gpu-runner"] {
		p.Stop(time.Minute)
	}
	since := 0
	for _, p := range append(slices.Clone(l.running["ingest"]), l.running["validator"]...) {
		since += strings.Count(p.Log(), "publish refused")
	}
	l.some(40)
	l.until("the queue is full, and somebody waits for room", func() bool {
		waits := 0
		for _, p := range append(slices.Clone(l.running["ingest"]), l.running["validator"]...) {
			waits += strings.Count(p.Log(), "publish refused")
		}
		return waits > since
	})
	if info := l.look("PDF_JOBS"); info == nil || info.State.Msgs > bound*info.State.NumSubjects {
		t.Errorf("the work queue holds more than its bound: %+v", info)
	}
	for i := range l.hosts {
		l.start("gpu-runner", i)
	}
	l.settle()
	l.pdfmill(0, "topology", "apply", "--replicas", "3", "--engines", "text")
}

// rotated gives every role another NATS key, another certificate of another CA and another S3 secret, and every server another certificate, while all run.
func (l *load) rotated(t *testing.T) {
	roles := append(slices.Clone(services), "admin")
	l.during(func() {
		for _, role := range roles {
			if err := os.Remove(filepath.Join(l.users, role+".nk")); err != nil {
				t.Fatal(err)
			}
		}
		l.makeUsers()
		l.ca = pipelinetest.NewCA(t, l.folder(fmt.Sprintf("ca-%d", l.n)))
		l.configureNATS()
		l.certifyMinIO()
		known, err := os.ReadDir(filepath.Join(l.dir, "identities"))
		if err != nil {
			t.Fatal(err)
		}
		for _, role := range known {
			l.identify(role.Name())
		}
		for _, s := range l.nats {
			s.process.Signal(syscall.SIGHUP)
		}
		l.until("MinIO has its new certificate", func() bool {
			_, err := l.s3Client("root", l.rootSecret).BucketExists(t.Context(), "inbox")
			return err == nil
		})
		l.reconnect()
		for _, role := range services {
			l.makeS3User(role)
		}
	})
	for _, s := range services {
		for _, p := range l.running[s] {
			l.until(p.Name()+" is ready again", func() bool { return rig.Ready(t, p) })
		}
	}
}

// client is a stock client with the rights of a role.
func (c *cluster) client(role string) *minio.Client { return c.s3Client(role, c.secrets[role]) }
