package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/secret"
)

func TestFilesComeBeforeTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "team-a"), []byte("first\r\nsecond\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PDFMILL_SECRET_TEAM_A", "third")
	found, err := secret.NewStore(secret.Config{Dir: dir}).Lookup("team-a")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range found {
		got = append(got, s.Reveal())
	}
	if fmt.Sprint(got) != "[first second third]" {
		t.Errorf("got %q", got)
	}
}

func TestUnknownSecretsSayWhereTheyWereLookedFor(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(filepath.Dir(dir), "outside")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	store := secret.NewStore(secret.Config{Dir: dir})
	for _, name := range []string{"nobody", "", "../outside", "a/b", strings.Repeat("x", 65)} {
		if _, err := store.Lookup(name); !errors.Is(err, secret.ErrUnknown) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := store.Lookup("link"); err == nil {
		t.Error("a link out of the folder was followed")
	}
	_, err := store.Lookup("nobody")
	for _, part := range []string{"nobody", dir, "PDFMILL_SECRET_NOBODY"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
}

func TestURLsAreShownWithoutUsers(t *testing.T) {
	for url, want := range map[string]string{
		"nats://127.0.0.1:4222":         "nats://127.0.0.1:4222",
		"tls://a,tls://b:4222":          "tls://a,tls://b:4222",
		"nats://u:p@a:1,tls://t@b":      "nats://***@a:1,tls://***@b",
		"u:p@a":                         "***@a",
		"nats://u:p,q@a":                "nats://***@a",
		"http://u:p/q@a/v1?x#y":         "http://***@a/v1?x#y",
		"http://u:p@q@127.0.0.1:9000/x": "http://***@***@127.0.0.1:9000/x",
	} {
		if got := secret.URL(url); got != want {
			t.Errorf("%s is shown as %s, want %s", url, got, want)
		}
	}
	for _, url := range []string{"http://c4n4ry:x/y@a", "http://c4n4ry:/x@a", "http://c4n4ry:?x@a", "http://c4n4ry:#x@a", "http://c4n4ry:%zz@a", "http://c4n4ry\x7f"} {
		if u, err := secret.ParseURL(url); err == nil || strings.Contains(err.Error(), "c4n4ry") {
			t.Errorf("%s is %v, %v", url, u, err)
		}
	}
	if u, err := secret.ParseURL("http://u:p%2F@a/v1"); err != nil || u.Host != "a" || u.User.String() != "u:p%2F" {
		t.Error(u, err)
	}
}

func TestASecretShowsItselfToNobody(t *testing.T) {
	const canary = "c4n4ry"
	t.Setenv("PDFMILL_SECRET_S", canary)
	found, err := secret.NewStore(secret.Config{}).Lookup("s")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", found[0], "all", found)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", found[0], "all", found)
	data, err := json.Marshal(map[string]any{"s": found})
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(data) + fmt.Sprintf("%v %+v %#v %s %q %x %d", found, found, found, found[0], found[0], found[0], found[0])
	if strings.Contains(shown, canary) || strings.Contains(shown, fmt.Sprintf("%x", canary)) || !strings.Contains(shown, "[secret]") {
		t.Errorf("shown: %s", shown)
	}
}
