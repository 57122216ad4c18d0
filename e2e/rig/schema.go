package rig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
	"github.com/nats-io/nats.go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// compiler of the schemas in docs/asyncapi.yaml.
var compiler = sync.OnceValues(func() (*jsonschema.Compiler, error) {
	_, here, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../docs/asyncapi.yaml"))
	if err != nil {
		return nil, err
	}
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	return c, c.AddResource("asyncapi.json", document)
})

var compiling sync.Mutex

// conforms checks the headers and the body of an event against the schemas that the documentation has for its subject.
func conforms(subject string, headers nats.Header, body []byte) error {
	compiling.Lock() // a compiler is not for several at once
	defer compiling.Unlock()
	c, err := compiler()
	if err != nil {
		return err
	}
	plain := map[string]any{}
	for name := range headers {
		plain[strings.ToLower(name)] = headers.Get(name)
	}
	payload, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	for part, value := range map[string]any{"headers": plain, "payload": payload} {
		schema, err := c.Compile("asyncapi.json#/components/messages/" + strings.TrimPrefix(subject, "pdf.") + "/" + part)
		if err != nil {
			return fmt.Errorf("no schema for the %s of %s: %w", part, subject, err)
		}
		if err := schema.Validate(value); err != nil {
			return fmt.Errorf("%s of %s: %w", part, subject, err)
		}
	}
	return nil
}
