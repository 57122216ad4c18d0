package supervise

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
)

// Command is how a runner is started. Env is everything it gets: nothing is inherited.
type Command struct {
	Path string   // absolute
	Args []string // without the program's name
	Env  []string // NAME=value; see Environment
	Dir  string   // working directory; "" is "/"
	// Memory is how many bytes of memory the program and its children may use together, which takes a control group; 0: as many as they like.
	Memory int64
	// Data is how many bytes of data the program may have (RLIMIT_DATA: its heap and private mappings); 0: as many as it likes. It is none for
	// programs that use a GPU, which map far more than they use.
	Data int64
	// User is whom the program becomes; nil: it stays the user of this process. Only root can name another.
	User *unprivileged.User
	// Confined takes every way to more privileges from the process, and the network, but for what Ports leaves of it.
	Confined bool
	// Ports, when a confined process has a use for the network: the TCP ports that it may use, where the kernel can tell them apart (Linux 6.7).
	Ports *Ports
	// Cell is a folder below which a confined process gets one of its own, in which its documents are; it may read Reads and the system's programs, and reach no other files.
	Cell  string
	Reads []string
	// GPU leaves a process in a cell the files of a GPU's driver, too. It must not be root: see enclose.
	GPU bool
}

// Ports are those that a process may listen at, and those, of whatever host, that it may connect to.
type Ports struct{ Listen, Connect []int }

// TokenVariable names the environment variable that marks a worker as ours; a later run finds stale workers by it.
const TokenVariable = "PDFMILL_WORKER_TOKEN"

// secretive are the beginnings of names that a worker has no business with.
var secretive = []string{"NATS_", "AWS_", "S3_", "MINIO_", "PDFMILL_S3", "PDFMILL_NATS", TokenVariable}

func (c Command) check() error {
	if !filepath.IsAbs(c.Path) {
		return fmt.Errorf("the program %q is not an absolute path", c.Path)
	}
	if c.Cell != "" && !c.Confined {
		return errors.New("a cell is for who is confined")
	}
	for _, entry := range c.Env {
		name, _, ok := strings.Cut(entry, "=")
		if !ok || name == "" {
			return fmt.Errorf("environment entry %q is not NAME=value", name)
		}
		if slices.ContainsFunc(secretive, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return fmt.Errorf("the environment variable %s must not reach a worker", name)
		}
	}
	return nil
}

// Environment is what a worker may know about the machine. Fields left empty are not set.
type Environment struct {
	Path           string            // PATH
	Home           string            // HOME: where libraries keep their caches
	Temp           string            // TMPDIR
	Device         string            // TORCH_DEVICE: "cpu", "cuda" …
	VisibleDevices string            // CUDA_VISIBLE_DEVICES: one device, by UUID
	ModelCache     string            // HF_HOME and TRANSFORMERS_CACHE: persistent storage for models
	Threads        int               // caps each numeric library's pool; 0: the cores of the machine
	More           map[string]string // anything else an engine needs; wins over the above
}

// List returns the environment for Command.Env, sorted.
func (e Environment) List() []string {
	threads := e.Threads
	if threads < 1 {
		threads = runtime.NumCPU()
	}
	set := map[string]string{
		"PATH": e.Path, "HOME": e.Home, "TMPDIR": e.Temp, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
		"TORCH_DEVICE": e.Device, "CUDA_VISIBLE_DEVICES": e.VisibleDevices,
		"HF_HOME": e.ModelCache, "TRANSFORMERS_CACHE": e.ModelCache,
		"PYTHONUNBUFFERED": "1", "PYTHONNOUSERSITE": "1", "TOKENIZERS_PARALLELISM": "false",
	}
	for _, name := range []string{"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS"} {
		set[name] = strconv.Itoa(threads)
	}
	for name, value := range e.More {
		set[name] = value
	}
	var list []string
	for name, value := range set {
		if value != "" {
			list = append(list, name+"="+value)
		}
	}
	slices.Sort(list)
	return list
}
