package protocol

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func vectors(t *testing.T, name string) [][]byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../../contract/protocol", name))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
	if len(lines) < 5 {
		t.Fatalf("%s holds only %d vectors", name, len(lines))
	}
	return lines
}

func TestGoodVectorsRoundTrip(t *testing.T) {
	for _, line := range vectors(t, "good.ndjson") {
		m, err := Decode(line)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		again, err := Encode(m)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		back, err := Decode(again)
		if err != nil || !reflect.DeepEqual(m, back) {
			t.Errorf("%s came back as %s (%v)", line, again, err)
		}
	}
}

func TestBadVectorsAreRefused(t *testing.T) {
	for _, line := range vectors(t, "bad.ndjson") {
		var bad struct{ Why, Line string }
		if err := json.Unmarshal(line, &bad); err != nil {
			t.Fatal(err)
		}
		if m, err := Decode([]byte(bad.Line)); !errors.Is(err, ErrBroken) {
			t.Errorf("%s: accepted as %#v (%v)", bad.Why, m, err)
		}
	}
}

// Every field of every good message is required unless the contract lets a page leave it out.
func TestEachFieldIsRequired(t *testing.T) {
	for _, line := range vectors(t, "good.ndjson") {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatal(err)
		}
		for name := range fields {
			if slices.Contains([]string{"added_later", "passwords", "models", "debug"}, name) {
				continue
			}
			without := map[string]json.RawMessage{}
			for k, v := range fields {
				if k != name {
					without[k] = v
				}
			}
			cut, _ := json.Marshal(without)
			if _, err := Decode(cut); !errors.Is(err, ErrBroken) {
				t.Errorf("accepted without %q: %s (%v)", name, cut, err)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	result := `{"type":"result","id":"c","pages":[%s],"images":[%s],"seconds":1,"memory":{"peak_device":0,"peak_host":0}}`
	page := func(p, i string) string { return strings.Replace(strings.Replace(result, "%s", p, 1), "%s", i, 1) }
	for why, line := range map[string]string{
		"not UTF-8":            "{\"type\":\"probe\",\"id\":\"\xff\"}",
		"wrong case of a name": `{"type":"probe","ID":"p"}`,
		"null":                 `{"type":"probe","id":null}`,
		"two values":           `{"type":"shutdown"} {"type":"shutdown"}`,
		"escaping file":        page(`{"page":1,"status":"ok","file":"../a.md","chars":0,"seconds":0,"warnings":[]}`, ""),
		"absolute file":        page(`{"page":1,"status":"ok","file":"/a.md","chars":0,"seconds":0,"warnings":[]}`, ""),
		"ok without file":      page(`{"page":1,"status":"ok","chars":0,"seconds":0,"warnings":[]}`, ""),
		"failed without class": page(`{"page":1,"status":"failed","chars":0,"seconds":0,"warnings":[],"message":"x"}`, ""),
		"failed with a file":   page(`{"page":1,"status":"failed","file":"a","class":"oom","chars":0,"seconds":0,"warnings":[],"message":"x"}`, ""),
		"unknown warning":      page(`{"page":1,"status":"ok","file":"a","chars":0,"seconds":0,"warnings":["odd"]}`, ""),
		"nested field missing": page(`{"page":1,"status":"ok","file":"a","seconds":0,"warnings":[]}`, ""),
		"page 0":               page(`{"page":0,"status":"ok","file":"a","chars":0,"seconds":0,"warnings":[]}`, ""),
		"escaping image":       page("", `{"page":1,"file":"a/../../b.png","media_type":"image/png","bytes":1}`),
		"negative memory":      `{"type":"ready","load_seconds":1,"memory":{"device_allocated":-1,"device_reserved":0,"host_rss":0}}`,
	} {
		if m, err := Decode([]byte(line)); !errors.Is(err, ErrBroken) {
			t.Errorf("%s: accepted as %#v (%v)", why, m, err)
		}
	}
}

func TestEncodeRefusesWhatTheOtherSideWould(t *testing.T) {
	if _, err := Encode(&Convert{ID: "c", Path: "relative", First: 1, Last: 1}); err == nil {
		t.Error("a relative path was encoded")
	}
	long := &EngineError{ID: "c", Class: "oom", Traceback: strings.Repeat("x", MaxLine)}
	if _, err := Encode(long); err == nil {
		t.Error("a line beyond the bound was encoded")
	}
}

func TestReaderBoundsALine(t *testing.T) {
	const frame = len(`{"type":"probe","id":""}`)
	exact := `{"type":"probe","id":"` + strings.Repeat("x", MaxLine-frame) + "\"}\n"
	r := NewReader(iotest.OneByteReader(strings.NewReader(exact)))
	if _, err := r.Next(); err != nil {
		t.Fatalf("a line of exactly the bound: %.200s", err)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Fatalf("after the last line: %v", err)
	}
	endless := &zeros{}
	_, err := NewReader(endless).Next()
	if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "1048576") || len(err.Error()) > 1000 {
		t.Fatalf("an endless line: %.300s", err)
	}
	if endless.read > 2*MaxLine {
		t.Fatalf("%d bytes read before giving up", endless.read)
	}
}

type zeros struct{ read int }

func (z *zeros) Read(p []byte) (int, error) {
	z.read += len(p)
	return copy(p, bytes.Repeat([]byte("0"), len(p))), nil
}

func TestReaderTellsHalfALine(t *testing.T) {
	r := NewReader(strings.NewReader("{\"type\":\"shutdown\"}\n{\"type\":"))
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, ErrBroken) {
		t.Fatalf("half a line: %v", err)
	}
}

func TestWriterWritesWholeLines(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out)
	for range 3 {
		if err := w.Write(&Shutdown{}); err != nil {
			t.Fatal(err)
		}
	}
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		if lines.Text() != `{"type":"shutdown"}` {
			t.Errorf("wrote %q", lines.Text())
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"type":"probe","id":"p-1"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := Decode(line)
		if err != nil {
			if !errors.Is(err, ErrBroken) {
				t.Fatalf("untyped: %v", err)
			}
			return
		}
		if again, err := Encode(m); err == nil {
			if _, err := Decode(again); err != nil {
				t.Fatalf("%q: own encoding refused: %v", line, err)
			}
		}
	})
}
