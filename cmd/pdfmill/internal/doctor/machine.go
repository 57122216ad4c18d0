package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/pyenv"
	"github.com/pdfmill/pdfmill/services/validator"
	"github.com/pdfmill/pdfmill/services/validator/sandbox"
)

// Python looks for the interpreter that runner environments are built from; "" is python3 on PATH.
func Python(name string) Check {
	return Check{"Python", quick, func(ctx context.Context) (string, string, string) {
		path, err := exec.LookPath(cmp.Or(name, "python3"))
		if err != nil {
			return Bad, err.Error(), "install Python 3.10 or later, or name an interpreter with --python"
		}
		version, err := exec.CommandContext(ctx, path, "--version").CombinedOutput()
		if err != nil {
			return Bad, fmt.Sprintf("%s does not run: %v", path, err), "repair it, or name another interpreter with --python"
		}
		return OK, fmt.Sprintf("%s (%s)", strings.TrimSpace(string(version)), path), ""
	}}
}

// Engines makes the runner's environment when it is missing; ensure returns the engines that can run.
func Engines(ensure func(context.Context) (string, error)) Check {
	return Check{"engines", patient, func(ctx context.Context) (string, string, string) {
		names, err := ensure(ctx)
		if e := (*failure.Error)(nil); errors.As(err, &e) {
			detail := e.Err.Error()
			if lines := strings.Split(strings.TrimSpace(e.Detail), "\n"); e.Detail != "" {
				detail += ": " + lines[len(lines)-1]
			}
			return Bad, detail, cmp.Or(e.Hint, "see what the installer says with --log-level debug")
		}
		if err != nil {
			return Bad, err.Error(), "see what the installer says with --log-level debug"
		}
		return OK, names, ""
	}}
}

// Available names the engines that can run.
func Available(engines []pyenv.Engine) string {
	var names []string
	for _, e := range engines {
		if e.Available {
			names = append(names, e.Name)
		}
	}
	return strings.Join(names, ", ")
}

// aPDF is the smallest document that opens.
const aPDF = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" +
	"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>endobj\ntrailer<</Root 1 0 R/Size 4>>\n%%EOF\n"

// Sandbox opens a document in the sandbox that command starts.
func Sandbox(command []string, cache string) Check {
	return Check{"PDFium sandbox", patient, func(ctx context.Context) (outcome, detail, advice string) {
		const hint = "the sandbox is this program itself: check that it may be executed, and that the cache folder can be written"
		inspector, err := validator.NewInspector(sandbox.Config{Command: command, CacheDir: sandbox.CacheDir(cache), Probes: 1}, validator.DefaultLimits(), validator.Policies{}, nil)
		if err != nil {
			return Bad, err.Error(), hint
		}
		defer inspector.Close()
		file, err := os.CreateTemp("", "pdfmill-doctor-")
		if err != nil {
			return Bad, err.Error(), "make the temporary folder writable, or set TMPDIR to one that is"
		}
		defer os.Remove(file.Name())
		_, err = file.WriteString(aPDF)
		if err := errors.Join(err, file.Close()); err != nil {
			return Bad, err.Error(), "make room in the temporary folder, or set TMPDIR to another"
		}
		found, err := inspector.Inspect(ctx, validator.Request{Path: file.Name()})
		if err != nil || found.Facts.Pages != 1 {
			return Bad, fmt.Sprintf("a document of one page: %d pages, %v", found.Facts.Pages, err), hint
		}
		return OK, "opens documents", ""
	}}
}

// Disk wants dir, or what it will be made in, writable and with so many bytes free.
func Disk(what, dir string, want uint64) Check {
	return Check{what, quick, func(context.Context) (string, string, string) {
		existing := dir
		for {
			_, err := os.Stat(existing)
			if err == nil || !errors.Is(err, fs.ErrNotExist) || filepath.Dir(existing) == existing {
				break
			}
			existing = filepath.Dir(existing)
		}
		var s unix.Statfs_t
		if err := unix.Statfs(existing, &s); err != nil {
			return Bad, fmt.Sprintf("%s: %v", existing, err), "choose a folder that can be reached"
		}
		if unix.Access(existing, unix.W_OK) != nil {
			return Bad, existing + " can't be written", "choose another folder, or change its owner"
		}
		free := s.Bavail * uint64(s.Bsize)
		detail := fmt.Sprintf("%s: %.1f GiB free", dir, float64(free)/(1<<30))
		if free < want {
			return Bad, detail, fmt.Sprintf("make room: at least %.1f GiB", float64(want)/(1<<30))
		}
		return OK, detail, ""
	}}
}

// OpenFiles wants so many file descriptors for a process.
func OpenFiles(want uint64) Check {
	return Check{"open files", quick, func(context.Context) (string, string, string) {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return Warn, err.Error(), ""
		}
		detail := fmt.Sprintf("%d a process, %d when asked for", limit.Cur, limit.Max)
		if limit.Max < want {
			return Bad, detail, fmt.Sprintf("raise the limit to %d: ulimit -n, or LimitNOFILE= of a unit", want)
		}
		return OK, detail, ""
	}}
}

// Isolation tells what keeps workers, in which documents are parsed, from each other; find says what the kernel has and what it lacks, "" for nothing.
func Isolation(find func() (has, lacks string)) Check {
	return Check{"isolation", quick, func(context.Context) (string, string, string) {
		has, lacks := find()
		if lacks == "" {
			return OK, has, ""
		}
		return Warn, lacks, "allow user namespaces and Landlock (Linux 5.13 and later), or keep what is confidential apart by machines"
	}}
}

// Memory wants so many bytes free, of the machine or of the control group that this process is in.
func Memory(want int64) Check {
	return Check{"memory", quick, func(ctx context.Context) (string, string, string) {
		host := devices.OpenHost()
		defer host.Close()
		readings, err := host.Read(ctx)
		if err != nil {
			return Warn, err.Error(), ""
		}
		free := readings[0].Total - readings[0].Used
		detail := fmt.Sprintf("%.1f GiB available", float64(free)/(1<<30))
		if free < want {
			return Warn, detail, fmt.Sprintf("a worker may need %.1f GiB: run fewer with --workers", float64(want)/(1<<30))
		}
		return OK, detail, ""
	}}
}

// System tells what pdfmill does on Linux alone.
func System() Check {
	return Check{"system", quick, func(context.Context) (string, string, string) {
		if runtime.GOOS == "linux" {
			return OK, "linux/" + runtime.GOARCH, ""
		}
		return Warn, runtime.GOOS + "/" + runtime.GOARCH + ": workers and PDFium have no bound on memory that the system keeps, workers keep the network, servers of models outlive a " +
			"pdfmill that was killed until the next one starts, and GPUs are not seen", "for documents of strangers run pdfmill on Linux"
	}}
}

// Ports tells which of the usual ports are taken.
func Ports(addrs ...string) Check {
	return Check{"ports", quick, func(ctx context.Context) (string, string, string) {
		var taken []string
		for _, addr := range addrs {
			listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
			if err != nil {
				taken = append(taken, addr)
				continue
			}
			_ = listener.Close() // it was only a question
		}
		if len(taken) > 0 {
			return Warn, strings.Join(taken, ", ") + " taken by another program", "pdfmill up picks free ones; name your own with --nats-addr, --s3-addr, --http-addr"
		}
		return OK, strings.Join(addrs, ", ") + " free", ""
	}}
}
