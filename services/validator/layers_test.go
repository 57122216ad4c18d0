package validator

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchmarkLayers tells what the layers around the sandbox cost, in processor time a file: see that of package sandbox.
func BenchmarkLayers(b *testing.B) {
	path, err := filepath.Abs("../../samples/report.pdf")
	if err != nil {
		b.Fatal(err)
	}
	tool, err := exec.LookPath(qpdf)
	if err != nil {
		b.Fatal(err)
	}
	spent := func() (all time.Duration) {
		for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
			var u syscall.Rusage
			if err := syscall.Getrusage(who, &u); err != nil {
				b.Fatal(err)
			}
			all += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
		return all
	}
	out := filepath.Join(b.TempDir(), "repaired.pdf")
	for _, layer := range []struct {
		name string
		do   func() error
	}{
		{"around_it:_both_ends_sniffed", func() error { _, err := sniffFile(path); return err }},
		{"around_it:_repair_by_qpdf,_where_wanted", func() error {
			_, err := runRepair(b.Context(), tool, nil, 1<<30, "", path, out, "--deterministic-id")
			return err
		}},
	} {
		b.Run(layer.name, func(b *testing.B) {
			const times = 20 // one would be lost in the noise
			began := spent()
			for range b.N * times {
				if err := layer.do(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((spent()-began).Seconds()*1000/float64(b.N*times), "ms/file")
		})
	}
}
