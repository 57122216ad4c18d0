package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/jet"
)

type tenantsCommand struct {
	List tenantsList `cmd:"" name:"ls" help:"List the tenants: what each has used today, of how much, and how many of its documents wait."`
}

type tenantsList struct{ remote }

// Help implements kong's help provider.
func (tenantsList) Help() string {
	return `A day is one of UTC. Tenants are declared with: pdfmill topology apply --tenants FILE, or pdfmill up --tenants FILE.

Examples:
  pdfmill tenants ls
  pdfmill tenants ls --json`
}

// Run prints what each tenant has used.
func (c *tenantsList) Run(g *globals, std streams) error {
	return c.withBroker(g, std, func(ctx context.Context, broker *jet.Broker) error {
		all, err := broker.TenantReports(ctx, time.Now())
		if err != nil {
			return err
		}
		if g.JSON {
			return printJSON(std.out, map[string]any{"tenants": all})
		}
		return printTenants(std.out, all)
	})
}

func printTenants(w io.Writer, all []jet.TenantReport) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "TENANT\tSOURCE\tDOCUMENTS\tBYTES\tDEVICE-SECONDS\tWAITING\tNOTE")
	for _, r := range all {
		fmt.Fprintf(table, "%s\t%s", r.Name, r.Source)
		for _, q := range r.Quotas(r.Used) {
			number := func(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
			if q.Name == "device-seconds" {
				number = func(n float64) string { return strconv.FormatFloat(n, 'f', 1, 64) }
			}
			limit := ""
			if q.Limit > 0 {
				limit = " of " + number(q.Limit)
			}
			fmt.Fprintf(table, "\t%s%s", number(q.Used), limit)
		}
		note := ""
		if r.Over != nil {
			note = fmt.Sprintf("%s used up; goes on at %s", r.Over.Name, r.Over.Until.Format(time.RFC3339))
		}
		fmt.Fprintf(table, "\t%d\t%s\n", r.Waiting, note)
	}
	return table.Flush()
}
