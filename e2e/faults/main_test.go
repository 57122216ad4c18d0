package faults

import (
	"flag"
	"os"
	"testing"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// TestMain has several scenarios run at once: they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	code := rig.Main(m)
	if err := os.RemoveAll(built); err != nil {
		panic(err)
	}
	os.Exit(code)
}
