// Command pdfmill turns PDFs into Markdown: a batch at once, or as a pipeline that runs. It is the only place that sees more than one service.
package main

import (
	"os"
)

func main() {
	os.Exit(run(os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
