package main

import (
	"bytes"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/jet"
)

// TestAPlanNamesWhoseStreamsChange: each tenant has a stream of the same name.
func TestAPlanNamesWhoseStreamsChange(t *testing.T) {
	plan := jet.Plan{Changes: []jet.Change{
		{Kind: "stream", Name: "PDF_EVENTS", Create: true},
		{Kind: "consumer", Name: "tenants", Of: "PDF_EVENTS", Create: true},
		{Kind: "tenant", Name: "acme", Create: true},
		{Kind: "stream", Name: "PDF_EVENTS", Of: "acme", Create: true},
		{Kind: "stream", Name: "PDF_EVENTS", Of: "bolt", Fields: []jet.Field{{Name: "num_replicas", From: "1", To: "3"}}},
	}}
	const want = `+ stream PDF_EVENTS
+ consumer tenants
+ tenant acme
+ stream PDF_EVENTS of tenant acme
~ stream PDF_EVENTS of tenant bolt
    num_replicas: 1 -> 3
`
	var got bytes.Buffer
	if err := printPlan(&globals{}, &got, plan); err != nil || got.String() != want {
		t.Errorf("%v\n%s", err, got.String())
	}
}
