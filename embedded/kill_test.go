package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/pdfmill/pdfmill/embedded"
)

// In this folder, and with this durability, the test binary is a victim that writes until it is killed, instead of running tests.
const (
	victimDir        = "EMBEDDED_TEST_VICTIM_DIR"
	victimDurability = "EMBEDDED_TEST_VICTIM_DURABILITY"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		fmt.Fprintln(os.Stderr, "victim:", beVictim(context.Background(), dir, embedded.Durability(os.Getenv(victimDurability))))
		os.Exit(1)
	}
	if dir := os.Getenv(fullDir); dir != "" {
		fmt.Fprintln(os.Stderr, beFull(context.Background(), dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// beVictim has four writers put and publish, and print each acknowledgement. It returns only when something fails.
func beVictim(ctx context.Context, dir string, d embedded.Durability) error {
	n, err := embedded.StartNATS(ctx, natsConfig(filepath.Join(dir, "nats"), d))
	if err != nil {
		return err
	}
	j, err := connect(n.URL())
	if err != nil {
		return err
	}
	if _, err := j.CreateOrUpdateStream(ctx, events); err != nil {
		return err
	}
	s, err := embedded.StartS3(ctx, s3Config(filepath.Join(dir, "s3"), d, func(ctx context.Context, p embedded.Put) error {
		_, err := j.Publish(ctx, "events.announced", []byte(p.Key))
		return err
	}))
	if err != nil {
		return err
	}
	c, err := newClient(s.URL(), "user", nil)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("w%d/%d/%s.pdf", w, i, strings.Repeat("x", i%50))
				if _, err := c.PutObject(ctx, "inbox", key, strings.NewReader(victimBody(key)), int64(len(victimBody(key))), minio.PutObjectOptions{
					UserMetadata: map[string]string{"key": key},
				}); err != nil {
					failed <- err
				}
				fmt.Println("put", key)
				ack, err := j.Publish(ctx, "events.published", []byte(key))
				if err != nil {
					failed <- err
				}
				fmt.Println("published", ack.Sequence, key)
			}
		}()
	}
	return <-failed
}

func victimBody(key string) string { return strings.Repeat(key, 1000) }

func TestWhatWasAcknowledgedSurvivesSIGKILL(t *testing.T) {
	for _, d := range []embedded.Durability{embedded.Synced, embedded.Relaxed} {
		t.Run(string(d), func(t *testing.T) {
			dir := t.TempDir()
			put, published := killedAfter(t, dir, d, 300)

			j := js(t, dial(t, startNATS(t, natsConfig(filepath.Join(dir, "nats"), d)).URL(), "root"))
			s, err := j.Stream(t.Context(), events.Name)
			if err != nil {
				t.Fatal(err)
			}
			for sequence, key := range published {
				if m, err := s.GetMsg(t.Context(), sequence); err != nil || string(m.Data) != key {
					t.Errorf("message %d of %s: %+v, %v", sequence, key, m, err)
				}
			}
			announced := map[string]bool{}
			for sequence := s.CachedInfo().State.FirstSeq; sequence <= s.CachedInfo().State.LastSeq; sequence++ {
				m, err := s.GetMsg(t.Context(), sequence)
				if err != nil {
					t.Fatalf("message %d: %v", sequence, err)
				}
				if m.Subject == "events.announced" {
					announced[string(m.Data)] = true
				}
			}
			c := client(t, startS3(t, s3Config(filepath.Join(dir, "s3"), d, (&puts{}).announce)).URL(), "user")
			for _, key := range put {
				if got := get(t, c, "inbox", key); got != victimBody(key) {
					t.Errorf("%s has %d bytes, want %d", key, len(got), len(victimBody(key)))
				}
				info, err := c.StatObject(t.Context(), "inbox", key, minio.StatObjectOptions{})
				if err != nil || info.UserMetadata["Key"] != key || info.ETag == "" {
					t.Errorf("%s: %+v, %v", key, info, err)
				}
				if !announced[key] {
					t.Errorf("%s was acknowledged and not announced", key)
				}
			}
		})
	}
}

// killedAfter runs a victim, kills it after so many acknowledgements, and returns all that it printed. Whatever else it prints is a fault: standard output
// belongs to the program around the servers.
func killedAfter(t *testing.T, dir string, d embedded.Durability, enough int) (put []string, published map[uint64]string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), victimDir+"="+dir, victimDurability+"="+string(d))
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	published = map[uint64]string{}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // the last line may be half
		}
		switch f := strings.Fields(line); {
		case len(f) == 2 && f[0] == "put":
			put = append(put, f[1])
		case len(f) == 3 && f[0] == "published":
			sequence, err := strconv.ParseUint(f[1], 10, 64)
			if err != nil {
				t.Errorf("victim printed %q", line)
			}
			published[sequence] = f[2]
		default:
			t.Errorf("victim printed %q", line)
		}
		if len(put)+len(published) >= enough {
			once.Do(func() { _ = command.Process.Kill() })
		}
	}
	if err := command.Wait(); err == nil || command.ProcessState.ExitCode() != -1 {
		t.Fatalf("victim was not killed: %v", err)
	}
	if len(put) == 0 || len(published) == 0 {
		t.Fatalf("victim put %d and published %d", len(put), len(published))
	}
	return put, published
}
