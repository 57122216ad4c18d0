package batch

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/job"
)

// former is what the report and the journal of an earlier run say, by Input.identity.
type former map[string]Document

func newFormer(r Report, noted []Document) former {
	f := former{}
	for _, list := range [][]Document{r.Earlier, r.Documents, noted} {
		for _, d := range list {
			identity := d.File
			if identity == "" {
				identity = d.Input
			}
			f[identity] = d
		}
	}
	return f
}

// stems tells which output names belong to which inputs: those whose output is there.
func (f former) stems(out output) map[string]string {
	stems := map[string]string{}
	for identity, d := range f {
		if out.has(d) {
			stems[identity] = strings.TrimSuffix(filepath.Base(d.Markdown), filepath.Ext(d.Markdown))
		}
	}
	return stems
}

// others lists the documents of earlier runs that inputs do not name and whose output is there.
func (f former) others(inputs []Input, out output) []Document {
	named := map[string]bool{}
	for _, in := range inputs {
		named[in.identity()] = true
	}
	var others []Document
	for identity, d := range f {
		if !named[identity] && out.has(d) {
			others = append(others, d)
		}
	}
	sortDocuments(others)
	return others
}

// kept reports whether an earlier run converted these very bytes with these options and its output is still there.
func (f former) kept(in Input, options job.Options, out output) (Document, bool) {
	d, known := f[in.identity()]
	if !known || in.Stream || in.Err != nil || d.Job == "" || !out.has(d) {
		return Document{}, false
	}
	sha, err := hashFile(in.File)
	if err != nil || job.ID(sha, options) != d.Job {
		return Document{}, false
	}
	d.Input, d.Markdown, d.Kept = in.Path, filepath.Join(out.shown, out.place(d)), true
	return d, true
}

func hashFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
