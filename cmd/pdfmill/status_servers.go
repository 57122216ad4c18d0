package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
)

// server is a server of models that workers share, and the host whose gpu-runner has it.
type server struct {
	Host string `json:"host"`
	event.Server
}

// shownLines of the log of a server that does not work are printed.
const shownLines = 10

// servers asks the gpu-runners for the servers that their workers share. That none answers in time is no failure: most have none.
func servers(ctx context.Context, broker *jet.Broker) ([]server, error) {
	limited, cancel := context.WithTimeout(ctx, 2*hearing)
	defer cancel()
	answers, err := jet.Ask[event.ServersAnswer](limited, broker, event.SubjectServers, struct{}{}, 0, hearing/2)
	if err != nil && !errors.Is(err, jet.ErrNobody) && limited.Err() == nil {
		return nil, err
	}
	all := []server{}
	for _, a := range answers {
		for _, s := range a.Servers {
			all = append(all, server{a.Host, s})
		}
	}
	slices.SortStableFunc(all, func(a, b server) int { return strings.Compare(a.Host, b.Host) })
	return all, ctx.Err()
}

func printServers(w io.Writer, all []server) error {
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "SERVER\tHOST\tSTATE\tSINCE\tRESTARTS\tAT\tNOTE")
	for _, s := range all {
		state, note := "works", ""
		if s.State != event.ServerWorks {
			state = s.State
			note = strings.Trim(s.Reason+"; "+s.LastError, "; ")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", s.Name, s.Host, state, s.Since.Local().Format(time.DateTime), s.Restarts, s.URL, note)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, s := range all {
		if s.State == event.ServerWorks || s.Log == "" {
			continue
		}
		lines := strings.Split(strings.TrimSpace(s.Log), "\n")
		fmt.Fprintf(w, "\n%s on %s said at last:\n", s.Name, s.Host)
		for _, line := range lines[max(0, len(lines)-shownLines):] {
			if _, err := fmt.Fprintf(w, "  %s\n", line); err != nil {
				return err
			}
		}
	}
	return nil
}
