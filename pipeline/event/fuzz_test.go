package event_test

import (
	"encoding/json"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// FuzzMessage reads any bytes as the messages of the work queue: what is accepted can be acted on.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"job":"","range":{"first":1,"last":2},"total":2,"engine":"text","lane":"bulk","mode":"default"}`))
	f.Add([]byte(`{"job":"0123456789abcdef0123456789abcdef","drop":"0123456789abcdef0123456789abcdef","source":{"sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},` +
		`"range":{"first":1,"last":2},"total":2,"want":"1-2","engine":"text","lane":"bulk","mode":"default","repaired":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r event.Range
		if json.Unmarshal(data, &r) == nil && r.Validate() == nil {
			if !r.Range.Valid() || r.Total < r.Range.Last || len(r.Input().SHA256) != 64 {
				t.Fatalf("accepted %+v", r)
			}
			_ = r.Output()
		}
		var m event.Rendered
		if json.Unmarshal(data, &m) == nil && m.Validate() == nil {
			if m.Total < 1 || m.Total > pages.Max || m.Want.Last() > m.Total {
				t.Fatalf("accepted %+v", m)
			}
			_ = m.Output()
		}
	})
}
