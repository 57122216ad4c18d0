package e2e

import (
	"encoding/json"
	"path/filepath"
	"testing"
)

// report is the part of report.json that its readers rely on.
type report struct {
	Documents  []document `json:"documents"`
	Unfinished []string   `json:"unfinished"`
	Totals     struct {
		Documents      int `json:"documents"`
		Converted      int `json:"converted"`
		Failed         int `json:"failed"`
		Kept           int `json:"kept"`
		Unfinished     int `json:"unfinished"`
		Pages          int `json:"pages"`
		ConvertedPages int `json:"converted_pages"`
		FailedPages    int `json:"failed_pages"`
		Warnings       int `json:"warnings"`
	} `json:"totals"`
}

// document is what became of one input.
type document struct {
	Input          string  `json:"input"`
	Outcome        string  `json:"outcome"`
	Class          string  `json:"class"`
	Message        string  `json:"message"`
	Pages          int     `json:"pages"`
	ConvertedPages int     `json:"converted_pages"`
	Seconds        float64 `json:"seconds"`
	Markdown       string  `json:"markdown"`
	Kept           bool    `json:"kept"`
	FailedPages    []struct {
		Page  int    `json:"page"`
		Class string `json:"class"`
	} `json:"failed_pages"`
	Warnings []struct {
		Page    int    `json:"page"`
		Warning string `json:"warning"`
	} `json:"warnings"`
}

func readReport(t *testing.T, dir string) report {
	t.Helper()
	var r report
	if err := json.Unmarshal(read(t, filepath.Join(dir, "report.json")), &r); err != nil {
		t.Fatal(err)
	}
	return r
}
