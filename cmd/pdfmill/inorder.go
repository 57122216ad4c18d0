package main

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"
)

const (
	// maxAhead is how many results may wait for an earlier one. A report of pdfmill check takes some hundred bytes a page, and the limits of time bound how many
	// pages can be read while one document takes as long as it may.
	maxAhead = 1024
	// lastFew are the items a worker, at the end, of which the heaviest begin: else all may wait for one long item that began last.
	lastFew = 16
)

// inOrder works on items, so many at once, and hands the results on in the order of the items, one at a time. One that takes long keeps nobody from working.
func inOrder[I, R any](ctx context.Context, items []I, workers int, weight func(I) int64, work func(context.Context, I) (R, error), hand func(R) error) error {
	group, ctx := errgroup.WithContext(ctx)
	results := make(chan chan R, maxAhead)
	group.Go(func() error {
		for next := range results {
			select {
			case r := <-next:
				if err := hand(r); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	group.Go(func() error {
		defer close(results)
		team, ctx := errgroup.WithContext(ctx)
		team.SetLimit(workers)
		begin := func(batch []I) error {
			type task struct {
				item   I
				weight int64
				result chan R
			}
			tasks := make([]task, len(batch))
			for i, item := range batch {
				tasks[i] = task{item, weight(item), make(chan R, 1)}
				select {
				case results <- tasks[i].result:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			slices.SortStableFunc(tasks, func(a, b task) int { return cmp.Compare(b.weight, a.weight) })
			for _, t := range tasks {
				team.Go(func() error {
					r, err := work(ctx, t.item)
					if err == nil {
						t.result <- r
					}
					return err
				})
			}
			return nil
		}
		last := max(0, len(items)-min(lastFew*workers, maxAhead)) // more could not wait for each other
		for i := range last {
			if err := begin(items[i : i+1]); err != nil {
				return errors.Join(team.Wait(), err)
			}
		}
		err := begin(items[last:])
		return errors.Join(team.Wait(), err)
	})
	return group.Wait()
}
