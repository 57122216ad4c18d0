package main

import (
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/services/gpu-runner/pyenv"
)

// TestWhatAFirstStartTells: a person hears what keeps them waiting, and nothing of what installers say beside it.
func TestWhatAFirstStartTells(t *testing.T) {
	for name, c := range map[string]struct {
		steps [][2]string
		want  string
	}{
		"pip": {
			[][2]string{
				{pyenv.StepCreating, "/cache/packages-1"},
				{pyenv.StepInstalling, "requirements.lock"},
				{pyenv.StepInstalling, "Collecting liteparse==2.18.0 (from -r requirements.lock (line 1))"},
				{pyenv.StepInstalling, "  Downloading liteparse-2.18.0-cp310-abi3-manylinux_2_28_x86_64.whl (14.1 MB)"},
				{pyenv.StepInstalling, "Successfully installed liteparse-2.18.0"},
				{pyenv.StepVerifying, "asking the runner for its engines"},
			},
			"preparing the Python environment, which is done once\n  downloading liteparse-2.18.0-cp310-abi3-manylinux_2_28_x86_64.whl (14.1 MB)\n  asking the runner for its engines\n",
		},
		"uv": {
			[][2]string{
				{pyenv.StepInstalling, "Resolved 2 packages in 3ms"}, {pyenv.StepInstalling, "Downloading torch (821.0MiB)"}, {pyenv.StepInstalling, " + torch==2.9.0"},
			},
			"preparing the Python environment, which is done once\n  downloading torch (821.0MiB)\n",
		},
		"no network": {
			[][2]string{
				{pyenv.StepInstalling, "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by 'NewConnectionError'"},
				{pyenv.StepInstalling, "WARNING: Retrying (Retry(total=3, connect=None)) after connection broken by 'NewConnectionError'"},
			},
			"preparing the Python environment, which is done once\n  the package index doesn't answer: trying again\n",
		},
		"another process": {
			[][2]string{{pyenv.StepWaiting, "waiting for another process that is at it"}},
			"preparing the Python environment, which is done once\n  waiting for another process that is at it\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var said strings.Builder
			tell := preparing(&said)
			for _, s := range c.steps {
				tell(s[0], s[1])
			}
			if said.String() != c.want {
				t.Errorf("it said:\n%s\nwant:\n%s", said.String(), c.want)
			}
		})
	}
}
