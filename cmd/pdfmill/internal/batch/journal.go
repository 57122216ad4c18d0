package batch

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// journalName is the file, beside the report, that a run which is killed leaves: the report is saved once a second, the journal before each document.
const journalName = ".report.journal"

// journal notes documents before their output is written, one a line, so that whatever is there after a kill is known: no finished document is
// converted again. What it says of a document counts only when the output is exactly what was to be written.
type journal struct {
	mu   sync.Mutex
	path string
	file *os.File // nil before the first note
}

// entry is a line of the journal.
type entry struct {
	Document
	Output string `json:"output_sha256"`
}

// note says that the output of d, whose hash is sha, is about to be written.
func (j *journal) note(d Document, sha string) error {
	line, err := json.Marshal(entry{d, sha})
	if err != nil {
		return fmt.Errorf("marshal a line of the journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		if j.file, err = os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666); err != nil {
			return fmt.Errorf("open the journal of the report: %w", err)
		}
		line = append([]byte{'\n'}, line...) // a killed run may have left half a line
	}
	if _, err = j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the journal of the report: %w", err)
	}
	return nil
}

// end removes the journal, once the report has all that it says.
func (j *journal) end() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		_ = j.file.Close() // it goes
		j.file = nil
	}
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the journal of the report: %w", err)
	}
	return nil
}

// noted are the documents that a killed run noted and whose output is there, in order.
func noted(out output) ([]Document, error) {
	file, err := os.Open(filepath.Join(out.dir, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal of the earlier run: %w", err)
	}
	defer file.Close()
	var found []Document
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxEntry)
	for lines.Scan() {
		var e entry
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Markdown == "" { // half a line
			continue
		}
		if sha, err := hashFile(filepath.Join(out.dir, out.place(e.Document))); err == nil && sha == e.Output {
			found = append(found, e.Document)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the journal of the earlier run: %w", err)
	}
	return found, nil
}

// maxEntry bounds a line of the journal, in bytes: a document of 100,000 failed pages has some ten million.
const maxEntry = 64 << 20
