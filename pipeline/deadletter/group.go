package deadletter

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// Group is what many dead letters have in common: "312 × pdf-encrypted at validator: a password is needed".
type Group struct {
	Stage string        `json:"stage"`
	Class failure.Class `json:"class"`
	// Cause is their message without what differs from one to the next: numbers, ids and quoted names.
	Cause   string    `json:"cause"`
	Count   int       `json:"count"`
	Open    int       `json:"open"` // of Count, not replayed yet
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Example string    `json:"example"` // id of the latest
}

func (g Group) String() string {
	return fmt.Sprintf("%d × %s at %s: %s", g.Count, g.Class, g.Stage, g.Cause)
}

// Groups counts the dead letters that f selects by stage, class and cause, most frequent first.
func (b *Box) Groups(ctx context.Context, f Filter) ([]Group, error) {
	type key struct {
		stage string
		class failure.Class
		cause string
	}
	groups := map[key]*Group{}
	for e, err := range b.List(ctx, f) {
		if err != nil {
			return nil, err
		}
		k := key{e.Stage, e.Class, cause(e.Message)}
		g := groups[k]
		if g == nil {
			g = &Group{Stage: k.stage, Class: k.class, Cause: k.cause, First: e.DiedAt}
			groups[k] = g
		}
		g.Count++
		if !e.Replayed {
			g.Open++
		}
		g.Last, g.Example = e.DiedAt, e.ID
	}
	out := make([]Group, 0, len(groups))
	for _, g := range groups {
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Cause, b.Cause))
	})
	return out, nil
}

var (
	quoted  = regexp.MustCompile(`"[^"]*"|\B'[^']*'\B`) // an apostrophe follows a letter
	hexID   = regexp.MustCompile(`\b(?:0x)?[0-9a-f]*[0-9][0-9a-f]*[a-f][0-9a-f]*\b`)
	numbers = regexp.MustCompile(`\d+(?:\.\d+)*`)
)

// cause cuts out of a message what differs from one failure to the next of the same kind.
func cause(message string) string {
	message = quoted.ReplaceAllString(message, `"…"`)
	message = hexID.ReplaceAllString(message, "…")
	message = numbers.ReplaceAllString(message, "N")
	if runes := []rune(message); len(runes) > 160 {
		message = string(runes[:160]) + "…"
	}
	return message
}
