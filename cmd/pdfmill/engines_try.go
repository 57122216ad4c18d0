package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/catalogue"
	"github.com/pdfmill/pdfmill/pipeline/config"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	gpurunner "github.com/pdfmill/pdfmill/services/gpu-runner"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

type enginesTry struct {
	environment
	Name    string                 `arg:"" help:"text, ocr, marker or marker1."`
	File    string                 `arg:"" optional:"" type:"existingfile" help:"A PDF whose first page is converted; default: a page of one line."`
	Timeout time.Duration          `default:"10m" help:"Most time for loading, and again for the page."`
	Marker  gpurunner.MarkerConfig `embed:"" prefix:"marker-"`
}

// Help implements kong's help provider.
func (enginesTry) Help() string {
	return `A worker is started as the pipeline starts it, with the servers that it asks: it loads its models or finds its servers, computes something on the device,
and converts a page. What is missing is named: packages, weights, a server, a program.

Examples:
  pdfmill engines test text
  pdfmill engines test marker --marker-bare                                      needs no weights
  pdfmill engines test marker                                                    layout only
  pdfmill engines test marker --marker-vlm-server vllm --marker-vlm-program /opt/vllm/bin/vllm
  pdfmill engines test marker1`
}

// Run starts a worker and has it convert a page.
func (c *enginesTry) Run(g *globals, std streams) error {
	entry, err := catalogue.Find(c.Name)
	if err != nil {
		return usage(err, "pdfmill engines ls")
	}
	if err := c.Marker.Validate(); err != nil {
		return usage(err, "")
	}
	cache, err := config.CacheDir(c.Cache)
	if err != nil {
		return err
	}
	log := g.logger(std.err, slog.LevelError)
	stop, ctx, done := interruptible()
	defer done()
	ctx = untilStop(ctx, stop)
	c.Marker.Models = cmp.Or(c.Marker.Models, c.Models)
	switch entry.Extra {
	case gpurunner.ExtraMarker1:
		c.Marker.Generation = "1"
	case gpurunner.ExtraMarker2:
		c.Marker.Generation = "2"
	}
	scratch, err := os.MkdirTemp("", "pdfmill-try-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	runner := gpurunner.Config{Python: c.Python, Scratch: scratch, WorkerUser: unprivileged.Auto, Marker: c.Marker, Install: preparing(std.err)}
	trial, err := gpurunner.StartTrial(ctx, entry.Engine, runner, cache, c.Timeout, log)
	if err != nil {
		return err
	}
	defer trial.Stop()
	worker := trial.Worker
	detail, err := worker.Probe(ctx, c.Timeout)
	if err != nil {
		return err
	}
	var document io.Reader = strings.NewReader(onePage)
	if c.File != "" {
		file, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer file.Close()
		document = file
	}
	result, err := trial.Convert(ctx, document, c.Timeout)
	if err != nil {
		return err
	}
	info := worker.Info()
	if g.JSON {
		return printJSON(std.out, tried{Name: entry.Name, Hello: info.Hello, Ready: info.Ready, Probe: detail, Result: result, Servers: trial.Servers()})
	}
	fmt.Fprintf(std.out, "%s works on %s: loaded in %.1f s, %s, a page in %.2f s\n", entry.Name, info.Hello.Device, info.Ready.LoadSeconds, detail, result.Seconds)
	return nil
}

// tried is what --json tells.
type tried struct {
	Name    string                     `json:"name"`
	Hello   protocol.Hello             `json:"hello"`
	Ready   protocol.Ready             `json:"ready"`
	Probe   string                     `json:"probe"`
	Result  protocol.Result            `json:"result"`
	Servers []supervise.ServerSnapshot `json:"servers"`
}

// onePage is a document of one page with one line.
const onePage = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" +
	"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 100]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj\n" +
	"4 0 obj<</Length 46>>stream\nBT /F1 12 Tf 36 50 Td (A page to try it.) Tj ET\nendstream endobj\n" +
	"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R/Size 6>>\n%%EOF\n"
