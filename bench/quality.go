package main

import (
	"context"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed quality/score.py
var scoreScript []byte

//go:embed quality/alone.py
var aloneScript []byte

// scores of one document, null where a measure does not apply.
type scores struct {
	Name     string   `json:"name"`
	Text     *float64 `json:"text"`
	Headings *float64 `json:"headings"`
	Tables   *float64 `json:"tables"`
}

func measureQuality(ctx context.Context, r *rig, result *Result) error {
	truth, err := r.truth()
	if err != nil {
		return err
	}
	pdfs, err := filepath.Glob(filepath.Join(truth, "*.pdf"))
	if err != nil {
		return err
	}
	ours, alone := r.fresh("quality"), r.fresh("alone")
	if _, err := r.timed(ctx, r.binary(), append([]string{"convert", "-o", ours}, pdfs...)...); err != nil {
		return err
	}
	script := filepath.Join(r.dir, "alone.py")
	if err := os.WriteFile(script, aloneScript, 0o600); err != nil {
		return err
	}
	if _, err := r.timed(ctx, r.python, script, truth, alone); err != nil {
		return err
	}
	a, err := r.score(ctx, ours, truth)
	if err != nil {
		return err
	}
	b, err := r.score(ctx, alone, truth)
	if err != nil {
		return err
	}
	result.Inputs = fmt.Sprintf("%d PDFs with reference Markdown; scores of documents from 0 to 1, the same scorer for both", len(pdfs))
	result.Reached = true
	for _, m := range []struct {
		name string
		of   func(scores) *float64
	}{
		{"text", func(s scores) *float64 { return s.Text }},
		{"headings", func(s scores) *float64 { return s.Headings }},
		{"tables", func(s scores) *float64 { return s.Tables }},
	} {
		got, want := pick(a, m.of), pick(b, m.of)
		got.Label, want.Label = "pdfmill convert, "+m.name, "liteparse alone, "+m.name
		result.Series = append(result.Series, got, want)
		result.note("mean %s: pdfmill %.4f, liteparse alone %.4f", m.name, mean(got), mean(want))
		if mean(got) < mean(want) {
			result.Reached = false
		}
	}
	return nil
}

// truth is the folder of PDFs with reference Markdown.
func (r *rig) truth() (string, error) {
	if r.corpus == "" {
		return "", errors.New("no corpus: name one with --corpus or $PDFMILL_CORPUS")
	}
	dir := filepath.Join(r.corpus, "gt")
	_, err := os.Stat(dir)
	return dir, err
}

func (r *rig) score(ctx context.Context, produced, truth string) ([]scores, error) {
	script := filepath.Join(r.dir, "score.py")
	if err := os.WriteFile(script, scoreScript, 0o600); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, r.python, script, produced, "--truth", truth, "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("score %s: %w", produced, err)
	}
	var all []scores
	return all, json.Unmarshal(out, &all)
}

func pick(all []scores, of func(scores) *float64) Series {
	s := Series{Unit: "score"}
	for _, one := range all {
		if v := of(one); v != nil {
			s.add(*v)
		}
	}
	return s
}

func mean(s Series) float64 {
	sum := 0.0
	for _, v := range s.Values {
		sum += v
	}
	return sum / float64(max(len(s.Values), 1))
}

func readCSV(path string) ([][]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err == nil && len(rows) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return rows, nil
}
