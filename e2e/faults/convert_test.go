package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// TestConvertOnAFullDisk: while there is no room for objects, a batch holds what it has in hand and says why; afterwards it converts everything.
func TestConvertOnAFullDisk(t *testing.T) {
	t.Parallel()
	const documents = 24
	in, out, data := t.TempDir(), t.TempDir(), t.TempDir()
	disk := filepath.Join(data, "s3")
	small(t, disk, "48m")
	all := rig.Samples(t)
	for i := range documents {
		if err := os.WriteFile(filepath.Join(in, fmt.Sprintf("doc-%02d.pdf", i)), document(all, i+i/4), 0o600); err != nil { // leaves out what is no PDF
			t.Fatal(err)
		}
	}
	c := &cluster{t: t}
	p := launch(t, "convert", rig.Binary(t, "pdfmill"), nil, "convert", in, "-o", out, "--window", "2", "--data", data)
	t.Cleanup(p.kill)
	c.until("the first is converted", func() bool { return p.gone() || strings.Contains(p.log.String(), "converted ") })
	free := fill(t, disk)
	c.until("it says that the disk is full", func() bool {
		return p.gone() || (strings.Contains(p.log.String(), "holding") && strings.Contains(p.log.String(), "space"))
	})
	if p.gone() {
		t.Fatalf("it ended on the full disk:\n%s", p.log)
	}
	free()
	c.until("it is done", p.gone)
	if text := p.log.String(); p.cmd.ProcessState.ExitCode() != 0 || !strings.Contains(text, fmt.Sprintf("%d documents converted", documents)) {
		t.Errorf("%s\n%s", p.cmd.ProcessState, text)
	}
}
