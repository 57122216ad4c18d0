package jet_test

import (
	"os"
	"testing"
)

// TestMain makes this binary the process that a test kills, when it says so.
func TestMain(m *testing.M) {
	if url := os.Getenv(countingEnv); url != "" {
		countForever(url)
	}
	os.Exit(m.Run())
}
