package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
)

type gpuCommand struct {
	Status gpuStatus `cmd:"" help:"Show who holds the memory of each GPU."`
	Lend   gpuLend   `cmd:"" help:"Have workers leave GPUs, so that another program can use them; returns when the memory is free."`
	Return gpuReturn `cmd:"" help:"End a loan: workers come back when there is work."`
}

// hearing is how long gpu-runners may take to answer what they know by heart.
const hearing = 500 * time.Millisecond

type gpuStatus struct{ remote }

// Help implements kong's help provider.
func (gpuStatus) Help() string {
	return `USED is what the driver says, by everybody. Of that, STRANGERS are programs that are not pdfmill's, WORKERS what loaded workers hold when idle, JOBS
what is reserved for conversions that run. FREE is what may still be given away: total less a reserve and all of these.

Examples:
  pdfmill gpu status
  pdfmill gpu status --json | jq '.devices[] | {id, free}'`
}

// Run shows them.
func (c *gpuStatus) Run(g *globals, std streams) error {
	return c.withBroker(g, std, func(ctx context.Context, broker *jet.Broker) error {
		answers, err := askGPUs(ctx, broker, event.GPURequest{Action: event.GPUStatus}, 0, hearing)
		if err != nil {
			return err
		}
		return printGPUs(g, std, answers)
	})
}

// whichGPU names GPUs.
type whichGPU struct {
	Host   string `placeholder:"NAME" help:"Only the GPUs of this host; default: all hosts."`
	Device string `placeholder:"ID" help:"Only this GPU, as listed by gpu status; default: all of them."`
}

type gpuLend struct {
	remote
	whichGPU
	For  time.Duration `name:"for" default:"24h" placeholder:"TIME" help:"The GPUs come back after so long by themselves (${default}, which is also the most)."`
	Wait time.Duration `default:"15m" placeholder:"TIME" help:"How long to wait for the memory (${default}). The loan stands also when that is over."`
}

// Help implements kong's help provider.
func (gpuLend) Help() string {
	return `Workers finish the jobs in hand, leave, and start no more there; everything else waits or goes to other GPUs. Exit 1: the memory was not free in time.

Examples:
  pdfmill gpu lend --for 30m && llama-server -m model.gguf; pdfmill gpu return
  pdfmill gpu lend --host gpu-7 --device GPU-2904c7a1-955b-e437-ced9-28098ae5d2c0`
}

// Run lends them.
func (c *gpuLend) Run(g *globals, std streams) error {
	if c.For <= 0 || c.For > event.LongestLoan {
		return usage(fmt.Errorf("--for is %s", c.For), fmt.Sprintf("a loan lasts more than 0 and at most %s", event.LongestLoan))
	}
	return c.withBroker(g, std, func(ctx context.Context, broker *jet.Broker) error {
		request := event.GPURequest{Action: event.GPULend, Host: c.Host, Device: c.Device, Seconds: c.For.Seconds()}
		all, meant, err := c.find(ctx, broker)
		if err != nil {
			return err
		}
		waiting, cancel := context.WithTimeout(ctx, c.Wait)
		defer cancel()
		answers, err := askGPUs(waiting, broker, request, all, c.Wait)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		answers = slices.DeleteFunc(answers, func(a event.GPUAnswer) bool { return !c.has(a) })
		for _, a := range answers {
			if g.JSON {
				err = printJSON(std.out, a)
			} else if a.Error == "" {
				_, err = fmt.Fprintf(std.out, "lent %s of %s until %s: %s are free\n", c.what(), a.Host, a.Until.Local().Format(time.DateTime), gibibytes(a.Free))
			} else {
				_, err = fmt.Fprintf(std.err, "pdfmill: %s: %s\n", a.Host, a.Error)
			}
			if err != nil {
				return err
			}
		}
		if n := len(meant) - len(slices.DeleteFunc(answers, func(a event.GPUAnswer) bool { return a.Error != "" })); n > 0 {
			return exit{exitSome, fmt.Errorf("the memory of %d hosts was not free after %s; they free it when their jobs in hand are done (pdfmill gpu status)", n, c.Wait)}
		}
		return nil
	})
}

type gpuReturn struct {
	remote
	whichGPU
}

// Help implements kong's help provider.
func (gpuReturn) Help() string {
	return `Examples:
  pdfmill gpu return
  pdfmill gpu return --host gpu-7`
}

// Run takes them back.
func (c *gpuReturn) Run(g *globals, std streams) error {
	return c.withBroker(g, std, func(ctx context.Context, broker *jet.Broker) error {
		all, _, err := c.find(ctx, broker)
		if err != nil {
			return err
		}
		answers, err := askGPUs(ctx, broker, event.GPURequest{Action: event.GPUReturn, Host: c.Host, Device: c.Device}, all, hearing)
		if err != nil {
			return err
		}
		return printGPUs(g, std, answers)
	})
}

// find counts the gpu-runners that answer, and names the hosts that are meant.
func (w whichGPU) find(ctx context.Context, broker *jet.Broker) (all int, meant []string, err error) {
	answers, err := askGPUs(ctx, broker, event.GPURequest{Action: event.GPUStatus}, 0, hearing)
	if err != nil {
		return 0, nil, err
	}
	var there []string
	for _, a := range answers {
		if w.has(a) {
			meant = append(meant, a.Host)
		}
		for _, d := range gpusOf(a) {
			there = append(there, a.Host+" "+d.ID)
		}
	}
	if len(meant) == 0 {
		return 0, nil, usage(fmt.Errorf("there is no %s", w.what()), "there are: "+strings.Join(there, ", "))
	}
	return len(answers), meant, nil
}

// has reports whether a gpu-runner has a GPU that is meant.
func (w whichGPU) has(a event.GPUAnswer) bool {
	return (w.Host == "" || w.Host == a.Host) &&
		(w.Device == "" || slices.ContainsFunc(gpusOf(a), func(d event.GPUDevice) bool { return d.ID == w.Device }))
}

func (w whichGPU) what() string {
	what := "GPU"
	if w.Device != "" {
		what += " " + w.Device
	}
	if w.Host != "" {
		what += " on host " + w.Host
	}
	return what
}

func askGPUs(ctx context.Context, broker *jet.Broker, r event.GPURequest, expected int, quiet time.Duration) ([]event.GPUAnswer, error) {
	answers, err := jet.Ask[event.GPUAnswer](ctx, broker, event.SubjectGPU, r, expected, quiet)
	if errors.Is(err, jet.ErrNobody) {
		return nil, exit{exitSome, errors.New("no gpu-runner with a GPU answers: none runs, or those that do found no driver (their log says why), or serve no engine that uses GPUs")}
	}
	slices.SortFunc(answers, func(a, b event.GPUAnswer) int { return strings.Compare(a.Host, b.Host) })
	return answers, err
}

// gpusOf leaves out the host's memory, which is in the same books.
func gpusOf(a event.GPUAnswer) []event.GPUDevice {
	return slices.DeleteFunc(slices.Clone(a.Devices), func(d event.GPUDevice) bool { return d.Kind == event.KindHost })
}

func printGPUs(g *globals, std streams, answers []event.GPUAnswer) error {
	if g.JSON {
		for _, a := range answers {
			if err := printJSON(std.out, a); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "HOST\tDEVICE\tMODEL\tTOTAL\tUSED\tSTRANGERS\tWORKERS\tJOBS\tFREE\tSTATE")
	for _, a := range answers {
		for _, d := range a.Devices {
			state := d.Closed
			if state == "" {
				state = "open"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d: %s\t%d: %s\t%s\t%s\n", a.Host, d.ID, d.Model, gibibytes(d.Total), gibibytes(d.Used),
				gibibytes(d.Strangers), d.Workers, gibibytes(d.Residents), d.Jobs, gibibytes(d.Reserved), gibibytes(d.Free), state)
		}
	}
	return table.Flush()
}

func gibibytes(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }
