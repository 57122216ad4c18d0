package main

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
)

func weightless(int) int64 { return 0 }

// The first item ends only when all others have: whoever worked no further ahead than it hands on would wait for ever.
func TestALongItemKeepsNobodyFromWorking(t *testing.T) {
	const n = 500
	items := make([]int, n)
	for i := range items {
		items[i] = i
	}
	var done atomic.Int64
	others := make(chan struct{})
	var got []int
	err := inOrder(t.Context(), items, 2, weightless, func(_ context.Context, i int) (int, error) {
		if i == 0 {
			<-others
		} else if done.Add(1) == n-1 {
			close(others)
		}
		return i, nil
	}, func(i int) error {
		got = append(got, i)
		return nil
	})
	if err != nil || !slices.Equal(got, items) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestTheHeaviestOfTheLastItemsBegins(t *testing.T) {
	items := append(slices.Repeat([]int{1, 2}, 10), slices.Repeat([]int{3}, lastFew-3)...)
	first := len(items)
	items = append(items, 5, 9, 7)
	var began, got []int
	err := inOrder(t.Context(), items, 1, func(i int) int64 { return int64(i) }, func(_ context.Context, i int) (int, error) {
		began = append(began, i)
		return i, nil
	}, func(i int) error {
		got = append(got, i)
		return nil
	})
	want := slices.Concat(items[:first-lastFew+3], []int{9, 7, 5}, items[first-lastFew+3:first])
	if err != nil || !slices.Equal(began, want) || !slices.Equal(got, items) {
		t.Errorf("began %v, not %v; handed on %v, %v", began, want, got, err)
	}
}

// More workers than results may wait: a batch must not wait for itself.
func TestManyWorkersDoNotWaitForThemselves(t *testing.T) {
	items := make([]int, 3*maxAhead)
	handed := 0
	err := inOrder(t.Context(), items, maxAhead, weightless, func(context.Context, int) (int, error) { return 0, nil }, func(int) error {
		handed++
		return nil
	})
	if err != nil || handed != len(items) {
		t.Errorf("%d handed on, %v", handed, err)
	}
}

func TestTheFirstErrorEndsTheWork(t *testing.T) {
	broken := errors.New("broken")
	for name, run := range map[string]func() error{
		"of the work": func() error {
			return inOrder(t.Context(), make([]int, 5000), 2, weightless, func(context.Context, int) (int, error) { return 0, broken }, func(int) error { return nil })
		},
		"of the hand": func() error {
			return inOrder(t.Context(), make([]int, 5000), 2, weightless, func(context.Context, int) (int, error) { return 0, nil }, func(int) error { return broken })
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(); !errors.Is(err, broken) {
				t.Error(err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := inOrder(ctx, make([]int, 5000), 2, weightless, func(ctx context.Context, _ int) (int, error) {
		cancel()
		<-ctx.Done()
		return 0, ctx.Err()
	}, func(int) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}
