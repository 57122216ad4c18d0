package publisher

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// schemas is docs/asyncapi.yaml, ready to validate messages with.
type schemas struct {
	document any
	compiler *jsonschema.Compiler
}

func loadSchemas(t *testing.T) schemas {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "asyncapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("asyncapi.json", document); err != nil {
		t.Fatal(err)
	}
	return schemas{document, c}
}

// at resolves a reference like "#/components/schemas/Failed".
func (s schemas) at(ref string) any {
	here := s.document
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		object, _ := here.(map[string]any)
		here = object[part]
	}
	return here
}

// check validates a message on a subject: its headers and its body.
func (s schemas) check(subject string, headers, body any) error {
	channel, ok := s.at("#/channels/" + strings.TrimPrefix(subject, "pdf.")).(map[string]any)
	if !ok || channel["address"] != subject {
		return fmt.Errorf("subject %q is no channel", subject)
	}
	for part, value := range map[string]any{"headers": headers, "payload": body} {
		schema, err := s.compiler.Compile("asyncapi.json#/components/messages/" + strings.TrimPrefix(subject, "pdf.") + "/" + part)
		if err != nil {
			return fmt.Errorf("schema of %s: %w", part, err)
		}
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			return err
		}
		if err := schema.Validate(plain); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}

func TestVectorsAgreeWithTheSchemas(t *testing.T) {
	s := loadSchemas(t)
	for _, name := range []string{"good", "bad"} {
		data, err := os.ReadFile(filepath.Join(root, "contract", "events", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var vectors []struct {
			Name, Why, Subject string
			Headers            map[string]string
			Body               json.RawMessage
		}
		if err := json.Unmarshal(data, &vectors); err != nil || len(vectors) < 5 {
			t.Fatalf("%s: %d vectors, %v", name, len(vectors), err)
		}
		for _, v := range vectors {
			err := s.check(v.Subject, v.Headers, v.Body)
			switch {
			case name == "good" && err != nil:
				t.Errorf("%s: %v", v.Name, err)
			case name == "bad" && err == nil:
				t.Errorf("passes for an event although: %s", v.Why)
			}
			var body any = &event.Converted{}
			if v.Subject == event.SubjectFailed {
				body = &event.Failed{}
			}
			if err := json.Unmarshal(v.Body, body); name == "good" && err != nil {
				t.Errorf("%s is not read: %v", v.Name, err)
			}
		}
	}
}

// TestRealEventsAgreeWithTheSchemas checks what the service and the stage loop really say.
func TestRealEventsAgreeWithTheSchemas(t *testing.T) {
	s, b := loadSchemas(t), newBench(t, usual)
	whole, partial, lost := newJob(t, 1), newJob(t, 2), newJob(t, 3)
	r := resultOf(span(1, 1), "a")
	r.Images = []event.Image{{Key: "images/page-0001-01.png", Bytes: 3, MediaType: "image/png", Page: 1}}
	r.Pages[0].Warnings = []string{"no-text"}
	share := 0.93
	r.Pages[0].Fidelity = &share
	put(t, whole.RangePrefix(span(1, 1)), r)
	degraded(t, partial, span(1, 1), "a")
	dead := deadletter.Record{ID: "x", Stage: stage.Validator, Class: failure.PDFEncrypted, Message: "a password is needed", Job: lost, Attempts: 1}
	unread := deadletter.Record{ID: "y", Stage: stage.Publisher, Class: failure.InvalidMessage, Message: "not JSON", Attempts: 1}
	for name, out := range map[string][]stage.Output{
		"whole":   b.handleOne(t, rendered(whole, span(1, 1), 1)),
		"partial": b.handleOne(t, withFailed(rendered(partial, span(2, 3), 3), failure.OOM)),
		"failed":  b.handleOne(t, withFailed(rendered(lost, span(1, 2), 2), failure.Crash)),
		"dead":    event.Ending(dead, 7, time.Now()),
		"unread":  event.Ending(unread, 8, time.Now()),
	} {
		if len(out) != 1 {
			t.Fatalf("%s: outputs %+v", name, out)
		}
		if err := s.check(out[0].Subject, out[0].Header, out[0].Body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemasNameEveryField keeps the description and the Go types from drifting apart.
func TestSchemasNameEveryField(t *testing.T) {
	s := loadSchemas(t)
	s.compare(t, "Converted", "#/components/schemas/Converted", reflect.TypeFor[event.Converted]())
	s.compare(t, "Failed", "#/components/schemas/Failed", reflect.TypeFor[event.Failed]())
	s.compare(t, "GPURequest", "#/components/schemas/GPURequest", reflect.TypeFor[event.GPURequest]())
	s.compare(t, "GPUAnswer", "#/components/schemas/GPUAnswer", reflect.TypeFor[event.GPUAnswer]())
	s.compare(t, "ServersAnswer", "#/components/schemas/ServersAnswer", reflect.TypeFor[event.ServersAnswer]())

	var classes []string
	for _, c := range s.at("#/components/schemas/Class").(map[string]any)["enum"].([]any) {
		classes = append(classes, c.(string))
	}
	var known []string
	for _, c := range failure.Classes() {
		known = append(known, string(c))
	}
	slices.Sort(classes)
	slices.Sort(known)
	if !slices.Equal(classes, known) {
		t.Errorf("classes %v, want %v", classes, known)
	}
}

func (s schemas) compare(t *testing.T, where, ref string, goType reflect.Type) {
	t.Helper()
	schema, _ := s.at(ref).(map[string]any)
	properties, _ := schema["properties"].(map[string]any)
	fields := map[string]reflect.Type{}
	for i := range goType.NumField() {
		f := goType.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f.Type
	}
	described, declared := slices.Sorted(maps.Keys(properties)), slices.Sorted(maps.Keys(fields))
	if !slices.Equal(described, declared) {
		t.Errorf("%s: described %v, declared %v", where, described, declared)
		return
	}
	for name, property := range properties {
		inner := fields[name]
		for inner.Kind() == reflect.Pointer || (inner.Kind() == reflect.Slice && !inner.Implements(reflect.TypeFor[encoding.TextMarshaler]())) {
			inner = inner.Elem()
		}
		ref := reference(property)
		if inner.Kind() != reflect.Struct || inner == reflect.TypeFor[time.Time]() {
			continue
		}
		if ref == "" {
			t.Errorf("%s.%s is not described", where, name)
			continue
		}
		s.compare(t, where+"."+name, ref, inner)
	}
}

// reference finds the schema that a property refers to: itself, its items, or the one it may be beside null.
func reference(property any) string {
	switch p := property.(type) {
	case map[string]any:
		if ref, ok := p["$ref"].(string); ok {
			return ref
		}
		if items, ok := p["items"]; ok {
			return reference(items)
		}
		return reference(p["oneOf"])
	case []any:
		for _, one := range p {
			if ref := reference(one); ref != "" {
				return ref
			}
		}
	}
	return ""
}

// TestEveryReferenceLeadsSomewhere walks the whole description.
func TestEveryReferenceLeadsSomewhere(t *testing.T) {
	s := loadSchemas(t)
	found := 0
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				if found++; s.at(ref) == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	if walk(s.document); found < 20 {
		t.Errorf("%d references", found)
	}
}
