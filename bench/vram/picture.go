package main

import (
	"context"
	"fmt"
	"strings"
)

// layers of a card's memory, from below.
var layers = []struct{ name, colour string }{
	{"models of workers with a job", "#2b6cb0"}, {"their jobs", "#63b3ed"}, {"models of workers without", "#cbd5e0"},
}

const (
	pictureFrom, pictureFor = 20_000, 240 // seconds
	width, height, gap      = 720, 150, 34
)

// picture draws the memory of a card of 24 GB over some minutes, under the ledger and under a fixed pool of two.
func picture(ctx context.Context) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width+60, 2*(height+gap)+40)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width+60, 2*(height+gap)+40)
	for i, workers := range []int{0, 2} {
		c := scenario{law: linear, gb: 24, cards: 1, workers: workers, prior: honest, tail: usualTail, seed: 1}
		samples, err := c.sample(ctx)
		if err != nil {
			return "", err
		}
		top := float64(i*(height+gap) + gap)
		title := map[int]string{0: "ledger", 2: "a fixed pool of 2"}[workers]
		fmt.Fprintf(&b, `<text x="44" y="%.0f" font-weight="bold">%s: %.0f %% of the memory at work</text>`+"\n", top-8, title, 100*share(samples))
		fmt.Fprintf(&b, `<rect x="44" y="%.0f" width="%d" height="%d" fill="#f7fafc" stroke="#718096"/>`+"\n", top, width, height)
		for _, gb := range []int{0, 12, 24} {
			fmt.Fprintf(&b, `<text x="38" y="%.0f" text-anchor="end">%d GB</text>`+"\n", top+height*(1-float64(gb)/24)+4, gb)
		}
		for n := len(layers) - 1; n >= 0; n-- {
			b.WriteString(area(samples, n, top))
		}
	}
	y := 2*(height+gap) + 20
	for i, l := range layers {
		x := 44 + 220*i
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="12" height="12" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n", x, y, l.colour, x+18, y+11, l.name)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%d s</text>`+"\n</svg>\n", width+44, y+11, pictureFor)
	return b.String(), nil
}

// sample takes down a card's layers, in bytes, once a second.
func (c scenario) sample(ctx context.Context) (samples [][]int64, err error) {
	m := c.machine()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	m.watch = func(m *machine, until float64) {
		for len(samples) < pictureFor && float64(pictureFrom+len(samples)) < until {
			s := make([]int64, len(layers))
			for _, w := range m.workers {
				if w.job == nil {
					s[2] += resident + cudaContext
					continue
				}
				s[0] += resident + cudaContext
				s[1] += w.holds
			}
			samples = append(samples, s)
		}
		if len(samples) == pictureFor {
			stop()
		}
	}
	if err := m.run(ctx, 1<<30); len(samples) < pictureFor {
		return nil, err
	}
	return samples, nil
}

// share is the part of the memory that is at work.
func share(samples [][]int64) float64 {
	sum := 0.0
	for _, s := range samples {
		sum += float64(s[0]+s[1]) / (24 * gib)
	}
	return sum / float64(len(samples))
}

// area is a polygon from the bottom to the top of a layer, which those below will cover.
func area(samples [][]int64, layer int, top float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<polygon fill="%s" points="44,%.0f`, layers[layer].colour, top+height)
	last := 0.0
	for i, s := range samples {
		sum := int64(0)
		for _, n := range s[:layer+1] {
			sum += n
		}
		x, y := 44+float64(i)*width/pictureFor, top+height*(1-float64(sum)/(24*gib))
		if i > 0 && y != last {
			fmt.Fprintf(&b, " %.0f,%.1f", x, last)
		}
		if i == 0 || y != last {
			fmt.Fprintf(&b, " %.0f,%.1f", x, y)
		}
		last = y
	}
	fmt.Fprintf(&b, ` %d,%.1f %d,%.0f"/>`+"\n", 44+width, last, 44+width, top+height)
	return b.String()
}
