package nomad

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/hashicorp/nomad/api"
)

func unmarshal(data []byte, into any) error { return json.Unmarshal(data, into) }

// Node stands in for a Nomad client and the servers that it asks: what it knows is what a real one would find out.
type Node struct {
	Dir       string // for allocations
	Name      string
	IP        string
	Secrets   map[string]map[string]string // by path, of Nomad's variables and of Vault alike
	Services  map[string][]Address         // by name, of Nomad and of Consul alike
	Volumes   map[string]string            // host volumes by name
	Artifacts map[string]string            // what lies at a URL, a file or a folder, by URL
	Port      func() int                   // picks a free one
}

// Address of an instance of a service.
type Address struct {
	Address string
	Port    int
}

// Task is what a node starts.
type Task struct {
	Command string
	Args    []string
	Env     map[string]string
	Files   map[string]string // that templates made: content by path below the task's folder
	Ports   map[string]int    // by label
}

// Environ is the environment as a process takes it.
func (t Task) Environ() []string {
	all := make([]string, 0, len(t.Env))
	for name, value := range t.Env {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	return all
}

// Prepare does what comes before the start of a job's only task: folders, ports, artifacts, templates, environment.
func (n *Node) Prepare(job *api.Job) (Task, error) {
	if len(job.TaskGroups) != 1 || len(job.TaskGroups[0].Tasks) != 1 {
		return Task{}, fmt.Errorf("job %s: want one group with one task", *job.ID)
	}
	group, task := job.TaskGroups[0], job.TaskGroups[0].Tasks[0]
	alloc, err := os.MkdirTemp(n.Dir, *job.ID+"-")
	if err != nil {
		return Task{}, err
	}
	a := &allocation{node: n, task: task, dir: filepath.Join(alloc, task.Name), mounts: map[string]string{}, result: Task{
		Files: map[string]string{}, Ports: map[string]int{}, Env: map[string]string{
			"NOMAD_ALLOC_DIR": filepath.Join(alloc, "alloc"), "NOMAD_TASK_DIR": filepath.Join(alloc, task.Name, "local"),
			"NOMAD_SECRETS_DIR": filepath.Join(alloc, task.Name, "secrets"), "NOMAD_JOB_ID": *job.ID, "NOMAD_GROUP_NAME": *group.Name,
			"NOMAD_TASK_NAME": task.Name, "node.unique.name": n.Name,
		},
	}}
	faults := make([]error, 0, 8)
	for _, dir := range []string{filepath.Join(alloc, "alloc", "tmp"), filepath.Join(alloc, "alloc", "data"), a.env("NOMAD_TASK_DIR"), a.env("NOMAD_SECRETS_DIR")} {
		faults = append(faults, os.MkdirAll(dir, 0o700))
	}
	faults = append(faults, a.network(group), a.sidecar(group), a.mount(group), a.fetch(), a.render(), a.start())
	return a.result, errors.Join(faults...)
}

type allocation struct {
	node      *Node
	task      *api.Task
	dir       string
	mounts    map[string]string // where a volume is, by where the task sees it
	upstreams []string          // where the task looks for a service, and where that is, by turns
	result    Task
}

func (a *allocation) env(name string) string { return a.result.Env[name] }

func (a *allocation) network(group *api.TaskGroup) error {
	for _, network := range group.Networks {
		for _, port := range append(network.DynamicPorts, network.ReservedPorts...) {
			number := port.Value
			if number == 0 {
				number = a.node.Port()
			}
			a.result.Ports[port.Label] = number
			text := strconv.Itoa(number)
			a.result.Env["NOMAD_PORT_"+port.Label], a.result.Env["NOMAD_IP_"+port.Label], a.result.Env["NOMAD_ADDR_"+port.Label] = text, a.node.IP, a.node.IP+":"+text
		}
	}
	return nil
}

// sidecar notes where the services of Consul's mesh are. In a network of its own a task finds them at loopback addresses that its sidecar binds; here those
// are everybody's, so that every mention of one in its environment is made the service's own.
func (a *allocation) sidecar(group *api.TaskGroup) error {
	for _, service := range group.Services {
		if service.Connect == nil || service.Connect.SidecarService == nil || service.Connect.SidecarService.Proxy == nil {
			continue
		}
		for _, up := range service.Connect.SidecarService.Proxy.Upstreams {
			found := a.node.Services[up.DestinationName]
			if len(found) == 0 {
				return fmt.Errorf("the mesh knows no service %q, an upstream of %s", up.DestinationName, service.Name)
			}
			a.upstreams = append(a.upstreams, fmt.Sprintf("127.0.0.1:%d", up.LocalBindPort), fmt.Sprintf("%s:%d", found[0].Address, found[0].Port))
		}
	}
	return nil
}

// mount notes where volumes are. Here nobody sees them where the task mounts them, so that every mention of that place is made one of theirs.
func (a *allocation) mount(group *api.TaskGroup) error {
	for _, m := range a.task.VolumeMounts {
		volume := group.Volumes[*m.Volume]
		if volume == nil {
			return fmt.Errorf("volume_mount names %q, which is no volume of the group", *m.Volume)
		}
		dir, ok := a.node.Volumes[volume.Source]
		if !ok {
			return fmt.Errorf("this node has no host volume %q", volume.Source)
		}
		a.mounts[*m.Destination] = dir
	}
	for name, value := range a.task.Meta {
		a.result.Env["NOMAD_META_"+name] = a.seen(value)
	}
	return nil
}

// seen is a path, or an option with one, from where the task stands.
func (a *allocation) seen(text string) string {
	for place, dir := range a.mounts {
		if text == place || strings.HasPrefix(text, place+"/") {
			return dir + strings.TrimPrefix(text, place)
		}
	}
	return text
}

var reference = regexp.MustCompile(`\$\{([^}]+)\}`)

// interpolate puts in what the node knows.
func (a *allocation) interpolate(text string) (string, error) {
	var faults []error
	out := reference.ReplaceAllStringFunc(text, func(match string) string {
		value, ok := a.result.Env[match[2:len(match)-1]]
		if !ok {
			faults = append(faults, fmt.Errorf("%s in %q is nothing a task knows", match, text))
		}
		return value
	})
	return a.seen(out), errors.Join(faults...)
}

func (a *allocation) fetch() error {
	for _, artifact := range a.task.Artifacts {
		source, err := a.interpolate(*artifact.GetterSource)
		if err != nil {
			return err
		}
		from, ok := a.node.Artifacts[source]
		if !ok {
			return fmt.Errorf("nothing lies at %s", source)
		}
		if check := artifact.GetterOptions["checksum"]; !strings.HasPrefix(check, "sha256:") {
			return fmt.Errorf("checksum %q of %s is no sha256:…", check, source)
		}
		to := filepath.Join(a.dir, *artifact.RelativeDest)
		if *artifact.GetterMode != "file" { // an archive, unpacked
			to = filepath.Join(to, strings.TrimSuffix(filepath.Base(source), ".tar.gz"))
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.Symlink(from, to)); err != nil {
			return err
		}
	}
	return nil
}

// render writes what templates make, and takes the environment from those that are one.
func (a *allocation) render() error {
	for _, t := range a.task.Templates {
		text, err := a.expand(*t.EmbeddedTmpl, t.ErrMissingKey != nil && *t.ErrMissingKey)
		if err != nil {
			return fmt.Errorf("template for %s: %w", *t.DestPath, err)
		}
		a.result.Files[*t.DestPath] = text
		path := filepath.Join(a.dir, *t.DestPath)
		mode, err := strconv.ParseUint(*t.Perms, 8, 32)
		if err != nil {
			return err
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), os.FileMode(mode))); err != nil {
			return err
		}
		if !*t.Envvars {
			continue
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			name, value, ok := strings.Cut(line, "=")
			if !ok {
				return fmt.Errorf("template for %s: line %q is no NAME=value", *t.DestPath, line)
			}
			a.result.Env[name] = strings.NewReplacer(a.upstreams...).Replace(value)
		}
	}
	return nil
}

// expand does what consul-template does, with the functions that the job files use.
func (a *allocation) expand(text string, strict bool) (string, error) {
	secrets := func(path string) (map[string]string, error) {
		s, ok := a.node.Secrets[path]
		if !ok {
			return nil, fmt.Errorf("no secrets at %s", path)
		}
		return s, nil
	}
	find := func(name string) []Address { return a.node.Services[name] }
	option := "missingkey=default"
	if strict {
		option = "missingkey=error"
	}
	t, err := template.New("").Option(option).Funcs(template.FuncMap{
		"env": a.env, "trimSpace": strings.TrimSpace, "nomadVar": secrets, "nomadService": find, "service": find,
		"secret": func(path string) (any, error) {
			s, err := secrets(path)
			return struct{ Data map[string]any }{map[string]any{"data": s}}, err
		},
	}).Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&out, nil)
	return out.String(), err
}

// start is the last: the environment, and the command in it.
func (a *allocation) start() error {
	var faults []error
	interpolated := func(text string) string {
		out, err := a.interpolate(text)
		faults = append(faults, err)
		return out
	}
	own := map[string]string{}
	for name, value := range a.task.Env {
		own[name] = interpolated(value)
	}
	for name, value := range own {
		if _, ok := a.result.Env[name]; !ok { // a template's comes first
			a.result.Env[name] = value
		}
	}
	command, _ := a.task.Config["command"].(string)
	a.result.Command = interpolated(command)
	arguments, _ := a.task.Config["args"].([]any)
	for _, argument := range arguments {
		text, ok := argument.(string)
		if !ok {
			faults = append(faults, fmt.Errorf("argument %v is no text", argument))
		}
		a.result.Args = append(a.result.Args, interpolated(text))
	}
	if _, err := os.Stat(a.result.Command); err != nil {
		faults = append(faults, fmt.Errorf("the command of %s: %w", a.task.Name, err))
	}
	for name := range a.task.Config {
		if name != "command" && name != "args" {
			faults = append(faults, fmt.Errorf("the drivers exec and raw_exec know no %q", name))
		}
	}
	return errors.Join(faults...)
}
