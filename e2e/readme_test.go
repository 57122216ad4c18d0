package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// TestReadmeSubscriber runs the README's Go program, as it stands there.
func TestReadmeSubscriber(t *testing.T) {
	_, program, found := strings.Cut(string(read(t, "../README.md")), "```go\n")
	program, _, ended := strings.Cut(program, "```")
	if !found || !ended {
		t.Fatal("the README has no Go program")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	write(t, file, []byte(program))
	binary := filepath.Join(t.TempDir(), "subscriber")
	rig.Build(t, binary, file)

	p := rig.Up(t, t.TempDir())
	subscriber := rig.Start(t, []string{"NATS_URL=" + p.NATSURL, "NATS_PASSWORD=" + p.NATSPassword}, binary)
	p.Put("read me.pdf", read(t, "../samples/letter.pdf"), nil)
	subscriber.Await("it prints the event", func() bool { return strings.Contains(subscriber.Log(), "pdf.converted inbox/read me.pdf") })
	subscriber.Kill()
	p.Put("while away.pdf", read(t, "../samples/letter.pdf"), nil)
	again := rig.Start(t, []string{"NATS_URL=" + p.NATSURL, "NATS_PASSWORD=" + p.NATSPassword}, binary)
	again.Await("it prints what it missed", func() bool { return strings.Contains(again.Log(), "pdf.converted inbox/while away.pdf") })
}

// TestDocumentsExist: no link of the README leads nowhere.
func TestDocumentsExist(t *testing.T) {
	for _, name := range []string{"README.md", "ARCHITECTURE.md"} {
		for _, target := range links(string(read(t, "../"+name))) {
			if _, err := os.Stat(filepath.Join("..", target)); err != nil && !strings.Contains(target, "://") {
				t.Errorf("%s links to %s: %v", name, target, err)
			}
		}
	}
}

// links are the targets of links in Markdown.
func links(markdown string) []string {
	var all []string
	for part := range strings.SplitSeq(markdown, "](") {
		target, _, _ := strings.Cut(part, ")")
		all = append(all, target)
	}
	return all[1:]
}
