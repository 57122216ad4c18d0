package tidy

import (
	"os"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// An operator who meets a class must find what it means, and a subscriber's schema must let it through.
func TestEveryClassIsExplained(t *testing.T) {
	for file, mark := range map[string]string{"../../docs/operations.md": "| `%s` |", "../../docs/asyncapi.yaml": "        - %s\n"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, class := range failure.Classes() {
			if !strings.Contains(string(text), strings.Replace(mark, "%s", string(class), 1)) {
				t.Errorf("%s says nothing of %s", file, class)
			}
		}
	}
}
