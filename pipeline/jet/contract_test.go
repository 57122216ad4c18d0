package jet

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// archived is a message, or a value in a KV bucket, as an earlier version wrote it.
type archived struct {
	Subject string          `json:"subject"`
	Body    json.RawMessage `json:"body"`
}

// reader is what this version takes a subject's messages for.
func reader(subject string) any {
	for prefix, body := range map[string]any{
		event.SubjectDropped: &event.Dropped{}, event.SubjectIngested: &event.Ingested{}, "pdf.validated.": &event.Range{}, event.SubjectRendered: &event.Rendered{},
		event.SubjectConverted: &event.Converted{}, event.SubjectFailed: &event.Failed{}, "pdf.dead.": &deadletter.Record{},
		"$KV." + KVSources + ".": &Taken{}, "$KV." + KVJobs + ".": &Status{}, "$KV." + KVReplays + ".": &deadletter.Mark{}, "$KV." + KVEnds + "." + endPrefix: &end{},
	} {
		if strings.HasPrefix(subject, prefix) {
			return body
		}
	}
	return nil
}

// TestEarlierVersionsAreUnderstood: versions work side by side on one queue while an installation is upgraded, so that what one writes the other reads, and
// loses nothing of when it passes it on. Each file of contract/messages holds what a version wrote; fields are only ever added.
func TestEarlierVersionsAreUnderstood(t *testing.T) {
	files, err := filepath.Glob("../../contract/messages/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no messages of earlier versions: %v", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var all []archived
		if err := json.Unmarshal(content, &all); err != nil || len(all) == 0 {
			t.Fatalf("%s: %d messages, %v", file, len(all), err)
		}
		kinds := map[string]bool{}
		for i, m := range all {
			body := reader(m.Subject)
			if body == nil {
				t.Errorf("%s, message %d: nobody reads %s any more", file, i, m.Subject)
				continue
			}
			kinds[fmt.Sprintf("%T", body)] = true
			if err := json.Unmarshal(m.Body, body); err != nil {
				t.Errorf("%s, message %d, %s: %v", file, i, m.Subject, err)
				continue
			}
			if work, ok := body.(stage.Body); ok {
				if err := work.Validate(); err != nil {
					t.Errorf("%s, message %d, %s: %v", file, i, m.Subject, err)
				}
			}
			again, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			var was, is any
			if err := json.Unmarshal(m.Body, &was); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(again, &is); err != nil {
				t.Fatal(err)
			}
			for _, lost := range lacks(is, was, "") {
				t.Errorf("%s, message %d, %s: %s", file, i, m.Subject, lost)
			}
		}
		if len(kinds) < 10 {
			t.Errorf("%s has only %d kinds of messages", file, len(kinds))
		}
	}
}

// lacks says which values of was are missing in is, or are others. A value that says nothing may be left out.
func lacks(is, was any, path string) (lost []string) {
	switch was := was.(type) {
	case map[string]any:
		now, _ := is.(map[string]any)
		for name, value := range was {
			lost = append(lost, lacks(now[name], value, path+"."+name)...)
		}
	case []any:
		now, _ := is.([]any)
		if len(now) != len(was) {
			return append(lost, fmt.Sprintf("%s has %d entries, not %d", path, len(now), len(was)))
		}
		for i, value := range was {
			lost = append(lost, lacks(now[i], value, fmt.Sprintf("%s[%d]", path, i))...)
		}
	default:
		if silent := was == nil || reflect.ValueOf(was).IsZero(); !reflect.DeepEqual(is, was) && (!silent || is != nil) {
			lost = append(lost, fmt.Sprintf("%s is %v, not %v", path, is, was))
		}
	}
	return lost
}
