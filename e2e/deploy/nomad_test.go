package deploy

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/zclconf/go-cty/cty"

	"github.com/pdfmill/pdfmill/e2e/deploy/nomad"
	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

const jobs = "../../deploy/nomad"

// needed are the variables that have no default, of every job file; each takes what it declares.
func needed() nomad.Vars {
	return nomad.Vars{
		"version": cty.StringVal("1.0.0"), "checksum": cty.StringVal("sha256:" + strings.Repeat("0", 64)), "releases": cty.StringVal("https://releases.test"),
		"binary": cty.StringVal("https://releases.test/minio"),
	}
}

func servers(addresses ...string) nomad.Vars {
	all := make([]cty.Value, len(addresses))
	for i, a := range addresses {
		all[i] = cty.StringVal(a)
	}
	return nomad.Vars{"servers": cty.ListVal(all)}
}

func parse(t *testing.T, file string, vars nomad.Vars) *api.Job {
	t.Helper()
	job, err := nomad.Parse(filepath.Join(jobs, file), vars)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return job
}

// serviceJob is the job of a service by its file of variables.
func serviceJob(t *testing.T, file string, more nomad.Vars) *api.Job {
	t.Helper()
	vars, err := nomad.ReadVars(filepath.Join(jobs, "cluster.vars.hcl"), filepath.Join(jobs, file))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, "pdfmill.nomad.hcl", vars.With(needed()).With(more))
}

// serviceFiles are the files of variables by service; gpu-runners have two.
var serviceFiles = map[string]string{
	"ingest.vars.hcl": "ingest", "validator.vars.hcl": "validator", "gpu-runner.vars.hcl": "gpu-runner", "gpu-runner-nvidia.vars.hcl": "gpu-runner",
	"publisher.vars.hcl": "publisher",
}

// variants are the ways in which a job can be had.
func variants() []nomad.Vars {
	var all []nomad.Vars
	for _, discovery := range []string{"nomad", "consul", "connect"} {
		for _, yes := range []bool{false, true} {
			all = append(all, nomad.Vars{"discovery": cty.StringVal(discovery), "vault": cty.BoolVal(yes), "tls": cty.BoolVal(!yes), "autoscale": cty.BoolVal(yes)})
		}
	}
	return all
}

// everyJob is every file in every variant.
func everyJob(t *testing.T) []*api.Job {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(jobs, "*.nomad.hcl"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d job files, %v", len(files), err)
	}
	var all []*api.Job
	for _, variant := range variants() {
		for _, file := range files {
			switch name := filepath.Base(file); name {
			case "pdfmill.nomad.hcl":
				for vars := range serviceFiles {
					all = append(all, serviceJob(t, vars, variant))
				}
			case "nats.nomad.hcl", "minio.nomad.hcl":
				all = append(all, parse(t, name, needed().With(variant).With(servers("10.0.0.1"))),
					parse(t, name, needed().With(variant).With(servers("10.0.0.1", "10.0.0.2", "10.0.0.3")).With(nomad.Vars{"nats_servers": cty.StringVal("10.0.0.1:4222")})))
			default:
				all = append(all, parse(t, name, needed().With(variant)))
			}
		}
	}
	return all
}

// TestJobsKeepNomadsRules: every file, in every variant, has only blocks and attributes that Nomad knows, and what Nomad refuses or passes over beyond that is not in it.
func TestJobsKeepNomadsRules(t *testing.T) {
	client, err := nomad.ReadClient(filepath.Join(jobs, "client.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range everyJob(t) {
		wrong := func(format string, v ...any) { t.Errorf("%s (%s): %s", *job.ID, *job.Type, fmt.Sprintf(format, v...)) }
		group, task := job.TaskGroups[0], job.TaskGroups[0].Tasks[0]
		if u := job.Update; u != nil && *job.Type != "batch" {
			if *u.MinHealthyTime >= *u.HealthyDeadline || *u.ProgressDeadline != 0 && *u.HealthyDeadline >= *u.ProgressDeadline {
				wrong("healthy after %s, by %s, all by %s", *u.MinHealthyTime, *u.HealthyDeadline, *u.ProgressDeadline)
			}
			if *u.AutoPromote != (*u.Canary > 0) {
				wrong("promoted by itself %t, with %d canaries", *u.AutoPromote, *u.Canary)
			}
		}
		if r := group.RestartPolicy; time.Duration(*r.Attempts)**r.Delay > *r.Interval {
			wrong("%d restarts with %s between them don't fit into %s", *r.Attempts, *r.Delay, *r.Interval)
		}
		if *job.Type == "system" && (group.ReschedulePolicy != nil || len(job.Spreads)+len(group.Spreads)+len(job.Affinities) > 0 || group.Scaling != nil) {
			wrong("it is told to be elsewhere, and is everywhere")
		}
		if *task.KillTimeout > client.MaxKillTimeout {
			wrong("the nodes cut kill_timeout %s to %s", *task.KillTimeout, client.MaxKillTimeout)
		}
		for _, v := range group.Volumes {
			if client.HostVolumes[v.Source] == "" {
				wrong("the nodes have no host volume %s", v.Source)
			}
		}
		switch {
		case task.Driver == "exec" && len(task.Resources.Devices) > 0:
			wrong("exec shows no devices")
		case task.Driver == "raw_exec" && (len(task.VolumeMounts) > 0 || !slices.Contains(client.Plugins, "raw_exec")):
			wrong("raw_exec mounts no volumes, and is to be enabled on the nodes")
		}
		for _, service := range group.Services {
			checks := map[string]bool{}
			for _, check := range service.Checks {
				if checks[check.Name] || check.Type != "http" && check.Type != "tcp" || check.Interval < time.Second || check.Timeout < time.Second {
					wrong("check %+v", check)
				}
				checks[check.Name] = true
				// Ports are the node's, so that it needs no way past the sidecar; for that Nomad would want a port whose number stands in the file.
				if check.Expose {
					wrong("check %s is exposed", check.Name)
				}
			}
			if mesh := service.Connect != nil; mesh && (service.Provider != "consul" || group.Networks[0].Mode != "bridge") {
				wrong("in the mesh by %s on a network in mode %s", service.Provider, group.Networks[0].Mode)
			}
		}
		if v := task.Vault; v != nil && (v.Role == "" || *v.Env || !*v.DisableFile || *v.ChangeMode != "noop") {
			wrong("the task itself gets Vault's token, or is restarted for it: %+v", v)
		}
		for _, template := range task.Templates {
			if strings.Contains(*template.EmbeddedTmpl, "{{ with secret ") != (task.Vault != nil) && strings.Contains(*template.EmbeddedTmpl, "{{ with ") {
				wrong("template %s with vault %v", *template.DestPath, task.Vault)
			}
			if strings.Contains(*template.EmbeddedTmpl, "{{ with ") && !*template.ErrMissingKey {
				wrong("template %s writes <no value> for a secret that is missing", *template.DestPath)
			}
		}
	}
}

// TestRoutesNeedCertificates: whoever has a route to a NATS server may do everything.
func TestRoutesNeedCertificates(t *testing.T) {
	c := newCloud(t)
	for _, discovery := range []string{"nomad", "connect"} {
		vars := needed().With(servers("127.0.0.1", "127.0.0.2", "127.0.0.3")).With(nomad.Vars{"tls": cty.False, "discovery": cty.StringVal(discovery), "version": cty.StringVal("2.15.2")})
		task, err := c.node.Prepare(parse(t, "nats.nomad.hcl", vars))
		if err != nil {
			t.Fatal(err)
		}
		clients, routes, found := strings.Cut(task.Files["secrets/nats.conf"], "cluster {")
		if !found || !strings.Contains(routes, "verify: true") || strings.Contains(clients, "tls {") || task.Files["secrets/key.pem"] == "" {
			t.Errorf("%s without TLS:\n%s", discovery, task.Files["secrets/nats.conf"])
		}
	}
}

// TestWhatNomadDoesNotKnowIsRefused is the proof that the other tests would see a mistake.
func TestWhatNomadDoesNotKnowIsRefused(t *testing.T) {
	for wrong, want := range map[string]string{
		`group "g" { cuont = 1 }`:                                     `"cuont"`,
		`group "g" { updates {} }`:                                    `"updates"`,
		`group "g" { count = "many" }`:                                "count",
		"group \"g\" {\n restart { delay = \"5 seconds\" }\n}":        "delay",
		"group \"g\" {\n task \"t\" {\n lifecycle {}\n}\n}":           "hook",
		`group { count = 1 }`:                                         "labels",
		`group "g" { count = var.none }`:                              "none",
		"group \"g\" {\n count = local.none\n}":                       "none",
		`group "g" { update = 3 }`:                                    `"update"`,
		"group \"g\" {\n restart {}\n restart {}\n}":                  "second",
		"group \"g\" {\n task \"t\" {\n env {\n A = [\"x\"]\n}\n}\n}": "A",
	} {
		file := filepath.Join(t.TempDir(), "wrong.nomad.hcl")
		if err := os.WriteFile(file, []byte("job \"j\" {\n"+wrong+"\n}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := nomad.Parse(file, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to name %s", wrong, err, want)
		}
	}
}

// TestServiceJobs: what the files promise an operator.
func TestServiceJobs(t *testing.T) {
	for file, service := range serviceFiles {
		job := serviceJob(t, file, nil)
		group := job.TaskGroups[0]
		task := group.Tasks[0]
		if *job.ID != "pdfmill-"+service || group.Services[0].Name != "pdfmill-"+service {
			t.Errorf("%s: job %s, service %s", file, *job.ID, group.Services[0].Name)
		}
		system := *job.Type == "system"
		if taken := system || len(task.Resources.Devices) > 0; taken == (*job.Update.Canary > 0) || !*job.Update.AutoRevert || system == (group.ReschedulePolicy != nil && *group.ReschedulePolicy.Unlimited) {
			t.Errorf("%s: a %s job with update %+v, reschedule %+v", file, *job.Type, job.Update, group.ReschedulePolicy)
		}
		if !*group.Disconnect.Replace || group.Disconnect.Reconcile == nil {
			t.Errorf("%s: disconnect %+v", file, group.Disconnect)
		}
		// What a gpu-runner has made stays on the node.
		if kept := len(group.Volumes) == 1 && task.Env["PDFMILL_CACHE"] == "/cache" || task.Env["PDFMILL_CACHE"] == "/srv/pdfmill/cache"; kept != (service == "gpu-runner") {
			t.Errorf("%s: cache %s, volumes %v", file, task.Env["PDFMILL_CACHE"], group.Volumes)
		}
	}
	// GPUs in a job with a count: an update may not wait for one that is free.
	if u := serviceJob(t, "gpu-runner-nvidia.vars.hcl", nomad.Vars{"per_node": cty.False}).Update; *u.Canary != 0 {
		t.Errorf("%d canaries, each of which needs a GPU", *u.Canary)
	}
	nvidia := serviceJob(t, "gpu-runner-nvidia.vars.hcl", nil).TaskGroups[0].Tasks[0].Resources.Devices
	if len(nvidia) != 1 || nvidia[0].Name != "nvidia/gpu" || !reflect.DeepEqual(nvidia[0].Constraints, []*api.Constraint{{LTarget: "${device.attr.memory}", Operand: ">=", RTarget: "16 GiB"}}) {
		t.Errorf("devices %+v", nvidia)
	}
	scaling := serviceJob(t, "gpu-runner.vars.hcl", nomad.Vars{"autoscale": cty.True}).TaskGroups[0].Scaling
	if scaling == nil || *scaling.Min != 2 || *scaling.Max != 10 || !strings.Contains(fmt.Sprint(scaling.Policy), `stream_name="`+jet.StreamJobs+`"`) {
		t.Fatalf("scaling %+v", scaling)
	}
	counted := regexp.MustCompile(`consumer_name=~"([^"]+)"`).FindStringSubmatch(fmt.Sprint(scaling.Policy))
	for subject, want := range map[string]bool{event.SubjectValidated("text", job.LaneBulk): true, event.SubjectValidated("marker", job.LaneSuspect): true, event.SubjectIngested: false} {
		if got := counted != nil && regexp.MustCompile("^(?:"+counted[1]+")$").MatchString(jet.Durable(subject)); got != want {
			t.Errorf("what waits on %s counts: %t, want %t", subject, got, want)
		}
	}
}

// cloud is a site with a Nomad node.
type cloud struct {
	*site
	node *nomad.Node
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	return cloudOf(newSite(t, false))
}

func cloudOf(s *site) *cloud {
	t := s.t
	t.Helper()
	cert, key := s.ca.Issue(s.dir, "server")
	server := map[string]string{"ca": read(t, s.ca.File), "cert": read(t, cert), "key": read(t, key)}
	secrets := map[string]map[string]string{
		"nats":     {"users": read(t, filepath.Join(s.users, "nats-users.conf"))},
		"s3":       {"root_access_key": rootKey, "root_secret_key": rootSecret, "nats_nkey": read(t, filepath.Join(s.users, jet.RoleGateway+".nk"))},
		"topology": {"nats_nkey": read(t, filepath.Join(s.users, jet.RoleAdmin+".nk"))},
	}
	if s.tenants != "" {
		secrets["nats"]["accounts"], secrets["nats"]["imports"] = read(t, filepath.Join(s.users, "nats-accounts.conf")), read(t, filepath.Join(s.users, "nats-imports.conf"))
	}
	maps.Copy(secrets["nats"], server)
	maps.Copy(secrets["s3"], server)
	for _, service := range services() {
		secrets[service] = map[string]string{"nats_nkey": read(t, filepath.Join(s.users, service+".nk"))}
	}
	byPath := map[string]map[string]string{}
	for name, items := range secrets {
		if items["ca"] == "" {
			maps.Copy(items, map[string]string{"ca": server["ca"], "s3_access_key": rootKey, "s3_secret_key": rootSecret})
		}
		byPath["nomad/jobs/pdfmill-"+name], byPath["kv/data/pdfmill/"+name] = items, items
	}
	s.folder("s3", "data")
	s.folder("s3", "users")
	return &cloud{s, &nomad.Node{
		Dir: s.folder("alloc"), Name: "node-1", IP: "127.0.0.1", Secrets: byPath, Port: s.port,
		Services: map[string][]nomad.Address{},
		Volumes:  map[string]string{"pdfmill-cache": cache(t), "pdfmill-nats": s.folder("nats"), "pdfmill-s3": s.folder("s3")},
		Artifacts: map[string]string{
			"https://releases.test/pdfmill_1.0.0_linux_amd64.tar.gz":               s.binaries(),
			"https://releases.test/v2.15.2/nats-server-v2.15.2-linux-amd64.tar.gz": s.program("nats-server"),
			"https://releases.test/v1.8.0/versitygw_v1.8.0_Linux_x86_64.tar.gz":    s.program("versitygw"),
		},
	}}
}

// program is a folder with a stock server.
func (s *site) program(name string) string {
	s.t.Helper()
	dir := s.folder("programs", name)
	s.link(rig.Server(s.t, name), filepath.Join(dir, name))
	return dir
}

// start runs what a job says and waits until its checks pass.
func (c *cloud) start(job *api.Job) (*rig.Process, nomad.Task) {
	c.t.Helper()
	task, err := c.node.Prepare(job)
	if err != nil {
		c.t.Fatalf("%s: %v", *job.ID, err)
	}
	p := rig.Start(c.t, task.Environ(), task.Command, task.Args...)
	for _, service := range job.TaskGroups[0].Services {
		for _, check := range service.Checks {
			label := check.PortLabel
			if label == "" {
				label = service.PortLabel
			}
			addr := task.Env["NOMAD_ADDR_"+label]
			scheme := check.Protocol
			if scheme == "" {
				scheme = "http"
			}
			switch check.Type {
			case "http":
				c.healthy(p, scheme+"://"+addr+check.Path)
			case "tcp":
				c.listens(p, addr)
			default:
				c.t.Fatalf("a check of type %q", check.Type)
			}
		}
		c.node.Services[service.Name] = append(c.node.Services[service.Name], nomad.Address{Address: c.node.IP, Port: task.Ports[service.PortLabel]})
	}
	return p, task
}

// deployment is how a whole one is made: how servers are found, where secrets are, whether there is TLS, and the job of the object store.
type deployment struct {
	discovery  string
	vault, tls bool
	store      string
}

var usual = deployment{"nomad", false, true, "versitygw.nomad.hcl"}

func (d deployment) vars() nomad.Vars {
	return nomad.Vars{"discovery": cty.StringVal(d.discovery), "vault": cty.BoolVal(d.vault), "tls": cty.BoolVal(d.tls)}
}

// servers starts NATS and the store as their jobs say; stop ends them so.
func (c *cloud) servers(d deployment) (stop func()) {
	c.t.Helper()
	c.plain = !d.tls
	port := func() cty.Value { return cty.NumberIntVal(int64(c.port())) }
	ports := cty.MapVal(map[string]cty.Value{"client": port(), "cluster": port(), "monitor": port()})
	vars := needed().With(d.vars())
	delete(vars, "version") // the servers' have defaults
	natsJob := parse(c.t, "nats.nomad.hcl", vars.With(servers("127.0.0.1")).With(nomad.Vars{"ports": ports, "tenants": cty.BoolVal(c.tenants != "")}))
	natsServer, task := c.start(natsJob)
	c.natsAt = task.Env["NOMAD_ADDR_client"]
	if d.store == "minio.nomad.hcl" {
		vars = vars.With(servers("127.0.0.1")).With(nomad.Vars{"nats_servers": cty.StringVal(c.natsAt)})
	}
	storeJob := parse(c.t, d.store, vars.With(nomad.Vars{"port": port()}))
	store, task := c.start(storeJob)
	c.s3At = task.Env["NOMAD_ADDR_s3"]
	return func() {
		c.stop(store, storeJob.TaskGroups[0].Tasks[0])
		c.stop(natsServer, natsJob.TaskGroups[0].Tasks[0])
	}
}

// runs starts NATS, the store, the topology and the services as the files say, sends a document through, and stops all as Nomad would. between is called when
// the buckets are there.
func (c *cloud) runs(d deployment, between func()) {
	c.t.Helper()
	stopServers := c.servers(d)
	topology, _ := c.start(parse(c.t, "topology.nomad.hcl", needed().With(d.vars()).With(nomad.Vars{"replicas": cty.NumberIntVal(1), "tenants": cty.StringVal(c.tenants)})))
	if code := topology.Wait(30 * time.Second); code != 0 {
		c.t.Fatalf("topology: exit %d\n%s", code, topology.Log())
	}
	between()
	started := map[string]*rig.Process{}
	for file, service := range serviceFiles {
		if file == "gpu-runner-nvidia.vars.hcl" { // its engine wants a GPU
			continue
		}
		vars := d.vars()
		switch service {
		case stage.Ingest: // nobody tells it of drops
			vars["settings"] = cty.MapVal(map[string]cty.Value{"PDFMILL_INBOX": cty.StringVal("inbox"), "PDFMILL_SCAN_INTERVAL": cty.StringVal("1s")})
		case stage.Validator: // PDFium is compiled already
			vars["cache_volume"] = cty.StringVal("pdfmill-cache")
		}
		started[service], _ = c.start(serviceJob(c.t, file, vars))
	}
	c.passes()
	c.looksWell()
	for file, service := range serviceFiles {
		task := serviceJob(c.t, file, d.vars()).TaskGroups[0].Tasks[0]
		c.stop(started[service], task)
		if least := drain(c.t, started[service]) + overtime; *task.KillTimeout < least {
			c.t.Errorf("%s: kill_timeout %s cuts its drain off, it is %s at least", file, *task.KillTimeout, least)
		}
	}
	stopServers()
}

// stop ends a process as Nomad does.
func (c *cloud) stop(p *rig.Process, task *api.Task) {
	c.t.Helper()
	signal, known := map[string]syscall.Signal{"": syscall.SIGINT, "SIGUSR2": syscall.SIGUSR2}[task.KillSignal]
	if !known {
		c.t.Fatalf("kill_signal %q", task.KillSignal)
	}
	p.Signal(signal)
	if code := p.Wait(*task.KillTimeout); code != 0 {
		c.t.Errorf("%s: exit %d after %s\n%s", p.Name(), code, signal, p.Log())
	}
}

// TestWhatTheJobsSayRuns: with Nomad's own services and variables, and with Consul's mesh and Vault.
func TestWhatTheJobsSayRuns(t *testing.T) {
	for name, d := range map[string]deployment{"Nomad alone": usual, "mesh and Vault": {"connect", true, false, usual.store}} {
		t.Run(name, func(t *testing.T) { newCloud(t).runs(d, func() {}) })
	}
}

// TestTenantsOnNomad: with the secrets that topology users writes and a declaration, a tenant hears of its documents in an account of its own.
func TestTenantsOnNomad(t *testing.T) { cloudOf(newSite(t, true)).runs(usual, func() {}) }

// TestVariantsSayTheSame: Vault instead of Nomad's variables, and Consul instead of Nomad's services, change where things come from and not what they are.
func TestVariantsSayTheSame(t *testing.T) {
	c := newCloud(t)
	c.node.Services = map[string][]nomad.Address{"pdfmill-nats": {{Address: "10.0.0.1", Port: 4222}, {Address: "10.0.0.2", Port: 4222}}, "pdfmill-s3": {{Address: "10.0.0.3", Port: 9000}, {Address: "10.0.0.4", Port: 9000}}}
	of := func(discovery string, vault bool) nomad.Task {
		job := serviceJob(t, "ingest.vars.hcl", nomad.Vars{"discovery": cty.StringVal(discovery), "vault": cty.BoolVal(vault)})
		if task := job.TaskGroups[0].Tasks[0]; vault != (task.Vault != nil) {
			t.Errorf("vault %v, and the task has %+v", vault, task.Vault)
		}
		task, err := c.node.Prepare(job)
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	plain := of("nomad", false)
	if got := plain.Env["PDFMILL_NATS_URL"]; got != "tls://10.0.0.1:4222,tls://10.0.0.2:4222" {
		t.Errorf("NATS at %s", got)
	}
	if got := plain.Env["PDFMILL_S3_ENDPOINT"]; got != "https://10.0.0.3:9000" {
		t.Errorf("S3 at %s", got)
	}
	if got := slices.Sorted(maps.Keys(plain.Files)); !slices.Equal(got, []string{"secrets/ca.pem", "secrets/nats.nk", "secrets/s3.key", "secrets/servers.env"}) {
		t.Errorf("files %v", got)
	}
	for _, other := range []nomad.Task{of("consul", false), of("nomad", true)} {
		if !maps.Equal(other.Files, plain.Files) {
			t.Errorf("files %v, want %v", other.Files, plain.Files)
		}
	}
	mesh := of("connect", true)
	if got := mesh.Env["PDFMILL_NATS_URL"] + " " + mesh.Env["PDFMILL_S3_ENDPOINT"]; got != "tls://10.0.0.1:4222 https://10.0.0.3:9000" {
		t.Errorf("through the mesh: %s", got)
	}
}
