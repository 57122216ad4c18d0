package e2e

import (
	"os"
	"testing"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }
