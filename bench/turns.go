package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// measureTurns drops a few documents of one source, alone and then behind a crowd of another's.
func measureTurns(ctx context.Context, r *rig, result *Result) error {
	const few = 10
	many := r.times(5000, 200)
	alone := Series{Label: "alone", Unit: "s"}
	behind := Series{Label: "after the crowd", Unit: "s"}
	first := Series{Label: "of the crowd were done by then", Unit: "documents"}
	for range r.times(3, 1) {
		if err := r.turns(ctx, few, many, &alone, &behind, &first); err != nil {
			return err
		}
	}
	result.Inputs = fmt.Sprintf("%d PDFs copied into one folder of the inbox, then %d put into another; one page and 600 bytes each", many, few)
	ratio := behind.over("after the crowd ÷ alone", alone)
	result.Series = []Series{alone, behind, ratio, first}
	result.Reached = ratio.median() <= 5
	return nil
}

func (r *rig) turns(ctx context.Context, few, many int, alone, behind, first *Series) error {
	d, err := r.up(ctx, "--serve", "null", "--engines", "null", "--auto-engine", "null")
	if err != nil {
		return err
	}
	err = turnsOn(ctx, d, few, many, alone, behind, first)
	return errors.Join(err, d.stop())
}

func turnsOn(ctx context.Context, d *daemon, few, many int, alone, behind, first *Series) error {
	v, err := drive(ctx, d)
	if err != nil {
		return err
	}
	defer v.close()
	seconds, _, err := v.late(ctx, "alone", few)
	if err != nil {
		return err
	}
	alone.add(seconds)
	crowd := filepath.Join(d.InboxDir, "crowd")
	if err := os.MkdirAll(crowd, 0o700); err != nil {
		return err
	}
	for i := range many {
		if err := os.WriteFile(filepath.Join(crowd, fmt.Sprintf("%d.pdf", i)), onePage(fmt.Sprintf("Crowd %d", i), 0), 0o600); err != nil {
			return err
		}
	}
	if _, err := v.next(ctx); err != nil { // the crowd has begun
		return err
	}
	seconds, others, err := v.late(ctx, "late", few)
	if err != nil {
		return err
	}
	behind.add(seconds)
	first.add(float64(others))
	return nil
}

// late uploads documents into a folder and waits for their events; others is how many came before the last of them.
func (v *driver) late(ctx context.Context, folder string, n int) (seconds float64, others int, err error) {
	started := time.Now()
	for i := range n {
		if err := v.put(ctx, fmt.Sprintf("%s/%d.pdf", folder, i), onePage(fmt.Sprintf("%s %d", folder, i), 0)); err != nil {
			return 0, 0, err
		}
	}
	for left := n; left > 0; {
		a, err := v.next(ctx)
		switch {
		case err != nil:
			return 0, 0, err
		case !strings.HasPrefix(a.source, v.bucket+"/"+folder+"/"):
			others++
		case a.subject != "pdf.converted":
			return 0, 0, fmt.Errorf("%s: %s", a.source, a.subject)
		default:
			left--
			seconds = a.at.Sub(started).Seconds()
		}
	}
	return seconds, others, nil
}
