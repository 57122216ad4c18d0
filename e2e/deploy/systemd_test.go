package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/jet"
)

const units = "../../deploy/systemd"

// image is a file system with the units and the programs that they start, as docs/deploy.md has them installed.
func image(t *testing.T, s *site) string {
	t.Helper()
	root := s.folder("image")
	system := s.folder("image", "etc", "systemd", "system")
	if err := os.CopyFS(system, os.DirFS(units)); err != nil {
		t.Fatal(err)
	}
	bin := s.folder("image", "usr", "local", "bin")
	for _, name := range []string{"pdfmill", "pdfmill-ingest", "pdfmill-validator", "pdfmill-gpu-runner", "pdfmill-publisher"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// What systemd itself has, and the units here name.
	for _, name := range []string{"network-online.target", "multi-user.target", "basic.target", "sysinit.target", "shutdown.target", "tmp.mount", "systemd-tmpfiles-setup.service"} {
		content := "[Unit]\nDescription=stand-in\n"
		if strings.HasSuffix(name, ".mount") {
			content += "[Mount]\nWhat=tmpfs\nWhere=/tmp\n"
		}
		if strings.HasSuffix(name, ".service") {
			content += "[Service]\nExecStart=/usr/local/bin/pdfmill\n"
		}
		if err := os.WriteFile(filepath.Join(s.folder("image", "usr", "lib", "systemd", "system"), name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func analyze(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
	return string(out), err
}

// TestUnitsAreSystemds: systemd finds nothing wrong with the units, and how little they leave open stays as it is.
func TestUnitsAreSystemds(t *testing.T) {
	root := image(t, &site{t: t, dir: t.TempDir()})
	files, err := filepath.Glob(filepath.Join(units, "pdfmill*.service"))
	if err != nil || len(files) != 5 {
		t.Fatalf("%d services, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if out, err := analyze(t, "verify", "--man=no", "--root="+root, name); err != nil || strings.TrimSpace(out) != "" {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		threshold := "15" // tenths of systemd's scale, on which 10.0 is a service with every right
		if strings.Contains(name, "gpu-runner") {
			threshold = "21" // sees devices, and gives its workers networks of their own
		}
		if out, err := analyze(t, "security", "--no-pager", "--offline=yes", "--root="+root, "--threshold="+threshold, name); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestWhatUnitsDifferInCounts: systemd reads what all units share after the unit itself, so that what differs must come later still.
func TestWhatUnitsDifferInCounts(t *testing.T) {
	last := func(name, setting string) string {
		values := settings(t, name)[setting]
		return values[len(values)-1]
	}
	for setting, want := range map[string]string{
		"PrivateDevices": "no", "ProtectControlGroups": "no", "Delegate": "memory pids", "OOMPolicy": "continue", "RestrictNamespaces": "user net",
		"SystemCallFilter": "landlock_create_ruleset landlock_add_rule landlock_restrict_self",
	} {
		if got := last("pdfmill-gpu-runner", setting); got != want {
			t.Errorf("gpu-runner: %s=%s, want %s", setting, got, want)
		}
	}
	if got := last("pdfmill-topology", "Type") + " " + last("pdfmill-topology", "Restart"); got != "oneshot no" {
		t.Errorf("topology: %s", got)
	}
	// systemd itself thinks so, too.
	root := image(t, &site{t: t, dir: t.TempDir()})
	seen, _ := analyze(t, "security", "--no-pager", "--offline=yes", "--root="+root, "pdfmill-gpu-runner.service")
	for _, open := range []string{"PrivateDevices=", "ProtectControlGroups=", "Delegate=", "RestrictNamespaces=~net", "RestrictNamespaces=~user"} {
		if !strings.Contains(seen, "✗ "+open) {
			t.Errorf("systemd has not %s:\n%s", open, seen)
		}
	}
}

// TestSystemdWouldSeeAMistake is the proof that the other test would.
func TestSystemdWouldSeeAMistake(t *testing.T) {
	s := &site{t: t, dir: t.TempDir()}
	root := image(t, s)
	path := filepath.Join(root, "etc", "systemd", "system", "pdfmill-ingest.service")
	for _, wrong := range []string{"ProtectSistem=strict", "RestartSec=soon", "ExecStart=/usr/local/bin/pdfmill-none"} {
		if err := os.WriteFile(path, []byte("[Service]\nExecStart=/usr/local/bin/pdfmill-ingest\n"+wrong+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := analyze(t, "verify", "--man=no", "--root="+root, filepath.Base(path)); err == nil && strings.TrimSpace(out) == "" {
			t.Errorf("%s: nobody minds", wrong)
		}
	}
}

// machine stands in for systemd: it starts what a unit says, with the environment and the credentials that it says.
type machine struct {
	*site
	etc string // what is /etc/pdfmill
}

// settings of a unit's [Service] in the order in which systemd reads them: the unit, then the drop-ins by their names. An empty value takes back those before it; of what
// is no list the last one counts.
func settings(t *testing.T, name string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	var files []string
	for _, folder := range []string{"pdfmill-.service.d", name + ".service.d"} {
		found, err := filepath.Glob(filepath.Join(units, folder, "*.conf"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	for _, file := range append([]string{filepath.Join(units, name+".service")}, files...) {
		options, err := unit.DeserializeOptions(strings.NewReader(read(t, file)))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, o := range options {
			switch {
			case o.Section != "Service":
			case o.Value == "":
				delete(all, o.Name)
			default:
				all[o.Name] = append(all[o.Name], o.Value)
			}
		}
	}
	return all
}

// start runs a service's command.
func (m *machine) start(name string) *rig.Process {
	m.t.Helper()
	own := m.folder("run", name)
	place := strings.NewReplacer("%p", name, "%d", own, "%C", m.folder("cache"), "/etc/pdfmill", m.etc)
	settings := settings(m.t, name)
	for _, credential := range settings["LoadCredential"] {
		id, from, _ := strings.Cut(place.Replace(credential), ":")
		if err := os.WriteFile(filepath.Join(own, id), []byte(read(m.t, from)), 0o400); err != nil {
			m.t.Fatal(err)
		}
	}
	var env []string
	for _, file := range settings["EnvironmentFile"] {
		path, optional := strings.CutPrefix(place.Replace(file), "-")
		content, err := os.ReadFile(path)
		if err != nil && !optional {
			m.t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				env = append(env, place.Replace(line))
			}
		}
	}
	for _, e := range settings["Environment"] {
		env = slices.Insert(env, 0, place.Replace(e)) // files come after, and count
	}
	command := strings.Fields(settings["ExecStart"][0])
	return rig.Start(m.t, env, rig.Binary(m.t, filepath.Base(command[0])), command[1:]...)
}

// write puts a file below /etc/pdfmill.
func (m *machine) write(name, content string) {
	m.t.Helper()
	path := filepath.Join(m.etc, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// TestWhatTheUnitsSayRuns: the services are started as the units say, and a document goes through.
func TestWhatTheUnitsSayRuns(t *testing.T) {
	c := cloudOf(newSite(t, true))
	c.servers(usual)
	m := &machine{c.site, c.folder("etc")}
	example := read(t, filepath.Join(units, "pdfmill.env"))
	for name, value := range map[string]string{
		"PDFMILL_NATS_URL": "tls://" + c.natsAt, "PDFMILL_S3_ENDPOINT": "https://" + c.s3At, "PDFMILL_REPLICAS": "1",
	} {
		lines := strings.Split(example, "\n")
		at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+"=") })
		if at < 0 {
			t.Fatalf("pdfmill.env has no %s", name)
		}
		lines[at] = name + "=" + value
		example = strings.Join(lines, "\n")
	}
	m.write("pdfmill.env", strings.Replace(example, "#PDFMILL_TENANTS=/etc/pdfmill/", "PDFMILL_TENANTS="+m.etc+"/", 1))
	m.write("tenants.json", c.tenants)
	m.write("ca.pem", read(t, c.ca.File))
	m.write("pdfmill-topology.env", fmt.Sprintf("PDFMILL_S3_ACCESS_KEY=%s\n", rootKey))
	m.write("credentials/pdfmill-topology.nk", read(t, filepath.Join(c.users, jet.RoleAdmin+".nk")))
	m.write("credentials/pdfmill-topology.s3", rootSecret)
	topology := m.start("pdfmill-topology")
	if code := topology.Wait(2 * time.Minute); code != 0 {
		t.Fatalf("topology: exit %d\n%s", code, topology.Log())
	}
	limits := map[*rig.Process]string{}
	for _, service := range services() {
		name := "pdfmill-" + service
		// Nobody tells ingest of drops, and what is compiled and installed is there already.
		m.write(name+".env", fmt.Sprintf("PDFMILL_S3_ACCESS_KEY=%s\nPDFMILL_HTTP_ADDR=127.0.0.1:0\nPDFMILL_SCAN_INTERVAL=1s\nPDFMILL_CACHE=%s\n", rootKey, cache(t)))
		m.write("credentials/"+name+".nk", read(t, filepath.Join(c.users, service+".nk")))
		m.write("credentials/"+name+".s3", rootSecret)
		p := m.start(name)
		p.Await("ready", func() bool { return rig.Ready(t, p) })
		stop := settings(t, name)["TimeoutStopSec"]
		limits[p] = stop[len(stop)-1]
	}
	c.passes()
	for p, text := range limits {
		limit, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		if code := p.Stop(limit); code != 0 {
			t.Errorf("exit %d after SIGTERM\n%s", code, p.Log())
		}
		if least := drain(t, p) + overtime; limit < least {
			t.Errorf("%s: TimeoutStopSec %s cuts its drain off, it is %s at least", p.Name(), limit, least)
		}
	}
}
