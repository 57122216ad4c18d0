package batch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What a killed run had noted counts when its output is there as it was to be written; half a line, another output or none do not.
func TestAKilledRunsJournal(t *testing.T) {
	dir := t.TempDir()
	out, j := output{dir: dir, shown: "out"}, &journal{path: filepath.Join(dir, journalName)}
	note := func(name, text string) {
		d := Document{Input: name, File: "/in/" + name, Outcome: OutcomeConverted, Markdown: "out/" + name + ".md", Job: "job"}
		if err := j.note(d, digest([]byte(text))); err != nil {
			t.Fatal(err)
		}
	}
	note("whole", "text")
	note("changed", "text")
	note("missing", "text")
	for name, text := range map[string]string{"whole": "text", "changed": "older text"} {
		if err := os.WriteFile(filepath.Join(dir, name+".md"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.file.WriteString(`{"input":"half","mark`); err != nil {
		t.Fatal(err)
	}
	j = &journal{path: j.path} // another run
	note("after", "more")
	if err := os.WriteFile(filepath.Join(dir, "after.md"), []byte("more"), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := noted(out)
	if err != nil {
		t.Fatal(err)
	}
	var inputs []string
	for _, d := range found {
		inputs = append(inputs, d.Input)
	}
	if !slices.Equal(inputs, []string{"whole", "after"}) {
		t.Errorf("noted %q", inputs)
	}
	known := newFormer(Report{Documents: []Document{{File: "/in/whole", Outcome: OutcomeFailed}}}, found)
	if d := known["/in/whole"]; d.Outcome != OutcomeConverted || known.stems(out)["/in/whole"] != "whole" {
		t.Errorf("the journal is newer than the report: %+v", d)
	}
	if err := j.end(); err != nil {
		t.Fatal(err)
	}
	if found, err := noted(out); err != nil || len(found) > 0 {
		t.Errorf("after the end: %v, %v", found, err)
	}
}
