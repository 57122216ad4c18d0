package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// canaries are secrets by what they are, and how often each place was looked at.
type canaries struct {
	t       *testing.T
	secrets map[string]string
	looked  map[string]int
}

func newCanaries(t *testing.T) *canaries {
	return &canaries{t: t, secrets: map[string]string{}, looked: map[string]int{}}
}

// plant makes a secret. It is of letters and digits, which stay what they are wherever text is escaped.
func (c *canaries) plant(what string) string {
	c.secrets[what] = rand.Text()
	return c.secrets[what]
}

// look complains of every secret that is in a place of a sort.
func (c *canaries) look(sort, place, content string) {
	c.t.Helper()
	c.looked[sort]++
	for what, secret := range c.secrets {
		for _, as := range disguises(secret) {
			if strings.Contains(content, as) {
				c.t.Errorf("%s %s: shows the %s", sort, place, what)
				break
			}
		}
	}
}

// disguises are how a text looks as it is, in hexadecimal, and somewhere in what is encoded in base64.
func disguises(text string) []string {
	all := []string{text, hex.EncodeToString([]byte(text))}
	for before := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + text))
		all = append(all, encoded[(8*before+5)/6:8*(before+len(text))/6]) // without digits that what is beside it has a part in
	}
	return all
}

func TestWhatLooksForSecretsFindsThem(t *testing.T) {
	secret := rand.Text()
	for _, hidden := range []string{
		secret, fmt.Sprintf("%x", "user:"+secret), base64.StdEncoding.EncodeToString([]byte("a:" + secret + "!")), base64.StdEncoding.EncodeToString([]byte("ab:" + secret)), base64.URLEncoding.EncodeToString([]byte(secret + "?")),
	} {
		if !slices.ContainsFunc(disguises(secret), func(as string) bool { return strings.Contains(hidden, as) }) {
			t.Errorf("%s is not found in %s", secret, hidden)
		}
	}
}

// ambient plants what is in the environment of every process, and is none of most processes' business.
func (c *canaries) ambient() {
	for name, value := range map[string]string{
		"PDFMILL_SECRET_LETTERS": "%s", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer %s", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://pdfmill:%s@127.0.0.1:4318",
		"AWS_SESSION_TOKEN": "%s", "HF_TOKEN": "%s",
	} {
		c.t.Setenv(name, fmt.Sprintf(value, c.plant(name)))
	}
	c.t.Setenv("PDFMILL_LOG_LEVEL", "debug")
}

// TestSecretsAreSeenNowhere: each service says who it is in another way, and what it is told for that is in nothing that anybody else sees.
func TestSecretsAreSeenNowhere(t *testing.T) {
	t.Run("separate processes", func(t *testing.T) {
		c, data, files := newCanaries(t), t.TempDir(), t.TempDir()
		c.ambient()
		inFile := func(name, secret string) string {
			path := filepath.Join(files, name)
			write(t, path, []byte(secret+"\n"))
			return path
		}
		e := rig.Endpoints{NATSUser: c.plant("NATS user"), NATSPassword: c.plant("NATS password"), S3AccessKey: "user", S3SecretKey: c.plant("S3 secret")}
		p := rig.ApartAs(t, data, e, func(service string, e rig.Endpoints) []string {
			inURL := "PDFMILL_NATS_URL=" + strings.Replace(e.NATSURL, "//", "//"+e.NATSUser+":"+e.NATSPassword+"@", 1)
			env := []string{"PDFMILL_S3_ENDPOINT=" + e.S3Endpoint}
			switch service {
			case "ingest":
				return append(env, inURL, "AWS_ACCESS_KEY_ID="+e.S3AccessKey, "AWS_SECRET_ACCESS_KEY="+e.S3SecretKey, "AWS_SESSION_TOKEN=") // this store knows none
			case "gpu-runner":
				return append(env, "PDFMILL_NATS_URL="+e.NATSURL, "PDFMILL_NATS_USER="+e.NATSUser, "PDFMILL_NATS_PASSWORD_FILE="+inFile("password", e.NATSPassword),
					"PDFMILL_S3_ACCESS_KEY="+e.S3AccessKey, "PDFMILL_S3_SECRET_KEY_FILE="+inFile("secret", e.S3SecretKey))
			case "publisher":
				env = append(env, "PDFMILL_NATS_URL="+e.NATSURL, "PDFMILL_NATS_USER="+e.NATSUser, "PDFMILL_NATS_PASSWORD="+e.NATSPassword)
			default:
				env = append(env, inURL)
			}
			return append(env, "PDFMILL_S3_ACCESS_KEY="+e.S3AccessKey, "PDFMILL_S3_SECRET_KEY="+e.S3SecretKey)
		})
		c.keptWhileInUse(p)
		p.KillNATS()
		p.StartNATS()
		for _, s := range p.Processes {
			s.Await("it has found NATS again", func() bool { return strings.Contains(s.Log(), "NATS is back") })
		}
		c.keptInFaults(p)
		c.keptInTheEnd(p, data)
	})
	t.Run("all in one", func(t *testing.T) {
		c, data := newCanaries(t), t.TempDir()
		c.ambient()
		declared := filepath.Join(t.TempDir(), "tenants.json")
		write(t, declared, []byte(`{"tenants": [{"name": "acme", "source": "inbox/acme/", "account": true}]}`))
		p := rig.Up(t, data, "--tenants", declared)
		for _, path := range []string{"credentials.json", "tenants/acme/endpoints.json"} {
			var values map[string]any
			if err := json.Unmarshal(read(t, filepath.Join(data, path)), &values); err != nil {
				t.Fatal(err)
			}
			for name, value := range values {
				if text, is := value.(string); is && (path == "credentials.json" || strings.HasSuffix(name, "password") || strings.HasSuffix(name, "secret_key")) {
					c.secrets[path+" "+name] = text
				}
			}
		}
		if len(c.secrets) < 20 {
			t.Errorf("there are %d secrets only", len(c.secrets))
		}
		c.keptWhileInUse(p)
		c.keptInTheEnd(p, data)
	})
}

// keptWhileInUse has documents converted and fail, and looks at what commands and services answer.
func (c *canaries) keptWhileInUse(p *rig.Pipeline) {
	c.t.Helper()
	t := c.t
	events := rig.Subscribe(t, p.NATS())
	p.Put("letter.pdf", read(t, "../samples/letter.pdf"), nil)
	p.Put("locked.pdf", read(t, locked), map[string]string{"pdfmill-password-ref": "letters"})
	converted, failed := events.Await("inbox/letter.pdf", 1), events.Await("inbox/locked.pdf", 1)
	if converted.Subject != "pdf.converted" || failed.Subject != "pdf.failed" || !strings.Contains(string(failed.Raw), "wrong password") {
		t.Fatalf("%s, %s", converted.Raw, failed.Raw)
	}
	dead := failed.Body["dead_letter"].(map[string]any)["id"].(string)
	for _, command := range []string{
		"status", "status --json", "doctor", "doctor --json", "topology export", "topology diff", "topology diff --json", "dead ls --json", "dead show " + dead, "dead show --json " + dead,
		"dead replay --json " + dead, "tenants ls", "tenants ls --json", "gpu status", "gpu status --json", "submit --json ../samples/letter.pdf", "sweep --json",
	} {
		out := p.Run(strings.Fields(command)...)
		if out.Code > 1 {
			t.Errorf("%s: exit %d: %s", command, out.Code, out.Stderr)
		}
		c.look("command", command, out.Stdout+out.Stderr)
	}
	p.Idle()
	for _, process := range p.Processes {
		web := p.HTTPURL
		for line := range strings.Lines(process.Log()) {
			var entry struct{ Msg, HTTP string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "started" && entry.HTTP != "" {
				web = entry.HTTP
			}
		}
		for _, path := range []string{"/metrics", "/readyz", "/healthz"} {
			c.look("HTTP", process.Name()+path, get(t, web+path))
		}
	}
}

// keptInTheEnd looks at processes, has them die with a last word, and looks at their logs and at what is kept in data.
func (c *canaries) keptInTheEnd(p *rig.Pipeline, data string) {
	c.t.Helper()
	t := c.t
	if runtime.GOOS == "linux" {
		c.crash(p)
	}
	for _, process := range p.Processes {
		process.Signal(syscall.SIGQUIT)
		pipelinetest.Eventually(t, process.Name()+" says where it was", process.Gone)
		if !strings.Contains(process.Log(), "goroutine ") {
			t.Errorf("%s says nothing as it dies", process.Name())
		}
		c.look("log", process.Name(), process.Log())
	}
	p.Kill()
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != "endpoints.json" && d.Name() != "credentials.json" { // which are for their owners
			c.look("file", path, string(read(t, path)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for sort, least := range map[string]int{"log": len(p.Processes), "HTTP": 3 * len(p.Processes), "command": 17, "file": 20} {
		if c.looked[sort] < least {
			t.Errorf("looked at %d of these only: %s", c.looked[sort], sort)
		}
	}
}

// crash looks at what the services' processes were started with, and what theirs were, and has the latter die with a last word.
func (c *canaries) crash(p *rig.Pipeline) {
	c.t.Helper()
	parents, workers := map[int]bool{}, 0
	for _, process := range p.Processes {
		parents[process.PID()] = true
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process.PID()))
		if err != nil {
			c.t.Fatal(err)
		}
		c.look("command line", process.Name(), string(line))
	}
	found, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, path := range found {
		dir := filepath.Dir(path)
		stat, _ := os.ReadFile(filepath.Join(dir, "stat")) // it may be gone
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err != nil || !parents[parent] {
			continue
		}
		line, err1 := os.ReadFile(filepath.Join(dir, "cmdline"))
		environ, err2 := os.ReadFile(path)
		if err1 != nil || err2 != nil {
			continue // gone meanwhile
		}
		c.look("child", strings.ReplaceAll(string(line), "\x00", " "), string(line)+string(environ))
		if strings.Contains(string(line), "pdfmill_runner") {
			workers++
			pid, err := strconv.Atoi(filepath.Base(dir))
			if err != nil {
				c.t.Fatal(err)
			}
			_ = syscall.Kill(pid, syscall.SIGABRT) // it may have ended
		}
	}
	if probes := c.looked["child"] - workers; workers == 0 || probes == 0 {
		c.t.Errorf("looked at %d workers and %d other children", workers, probes)
	}
	pipelinetest.Eventually(c.t, "a worker's death is told of", func() bool {
		return slices.ContainsFunc(p.Processes, func(p *rig.Process) bool {
			return strings.Contains(p.Log(), "Fatal Python error") || strings.Contains(p.Log(), "signal")
		})
	})
}

// keptInFaults has commands and services say what is wrong with what they were told.
func (c *canaries) keptInFaults(p *rig.Pipeline) {
	c.t.Helper()
	t, dir := c.t, c.t.TempDir()
	secrets := strings.NewReplacer("USER", c.plant("user of a URL"), "PASSWORD", c.plant("password of a URL"))
	file := func(variable, content string) string {
		path := filepath.Join(dir, variable)
		write(t, path, []byte(secrets.Replace(content)))
		return variable + "=" + path
	}
	nats, s3, nobody := strings.TrimPrefix(p.NATSURL, "nats://"), strings.TrimPrefix(p.S3Endpoint, "http://"), rig.FreeAddr(t)
	right := []string{
		"PDFMILL_NATS_URL=nats://" + p.NATSUser + ":" + p.NATSPassword + "@" + nats, "PDFMILL_S3_ENDPOINT=" + p.S3Endpoint, "PDFMILL_S3_ACCESS_KEY=" + p.S3AccessKey, "PDFMILL_S3_SECRET_KEY=" + p.S3SecretKey,
	}
	for _, fault := range []struct {
		setting string // in which USER and PASSWORD stand for secrets
		on      string // what says so: services, commands that ask NATS, or the store
	}{
		{"PDFMILL_NATS_URL=nats://USER:PASSWORD@" + nats, "service nats"}, // nobody it knows
		{"PDFMILL_NATS_URL=nats://PASSWORD@" + nats, "service nats"},
		{"PDFMILL_NATS_URL=tls://USER:PASSWORD@" + nats, "service nats"}, // it has no TLS
		{"PDFMILL_NATS_URL=nats://USER:PASSWORD@" + nobody, "service nats"},
		{"PDFMILL_NATS_URL=USER:PASSWORD@" + nobody + ",PASSWORD@" + nobody, "service nats"},
		{"PDFMILL_NATS_URL=nats://USER:PASSWORD@nowhere.invalid", "service nats"},
		{"PDFMILL_NATS_URL=nats://USER:/PASSWORD@" + nats, "service nats"}, // no URLs, these
		{"PDFMILL_NATS_URL=nats://USER:PASSWORD%zz@" + nats, "service nats"},
		{"PDFMILL_NATS_URL=nats://USER:PASSWORD/USER@" + nats, "service nats"},
		{"PDFMILL_NATS_URL=nats://USER,:PASSWORD@" + nats, "service nats"},
		{"PDFMILL_NATS_URL=nats://USER:PASSWORD@" + nats + "x", "service nats"},
		{file("PDFMILL_NATS_CREDS", "PASSWORD"), "service nats"},
		{file("PDFMILL_NATS_NKEY", "PASSWORD"), "service nats"},
		{"PDFMILL_S3_ENDPOINT=http://USER:PASSWORD@" + s3, "service store"}, // the key says who asks
		{"PDFMILL_S3_ENDPOINT=http://USER:/PASSWORD@" + s3, "service store"},
		{"PDFMILL_S3_ENDPOINT=USER:PASSWORD@" + s3, "service store"},
		{"PDFMILL_S3_ENDPOINT=https://" + s3, "store"},
		{"PDFMILL_S3_SECRET_KEY=PASSWORD", "store"},
		{"PDFMILL_S3_ACCESS_KEY= PDFMILL_S3_SECRET_KEY= AWS_ACCESS_KEY_ID=" + p.S3AccessKey + " AWS_SECRET_ACCESS_KEY=PASSWORD", "store"}, // with a session's token
		{"PDFMILL_S3_ENDPOINT=http://nowhere.invalid HTTP_PROXY=http://USER:PASSWORD@" + nobody, "store"},
		{"PDFMILL_S3_STS=http://USER:PASSWORD@" + s3, "service"},
		{"PDFMILL_MARKER_LAYOUT_URL=http://USER:/PASSWORD@" + s3, "gpu-runner"},
		{"PDFMILL_MARKER_VLM_URL=USER:PASSWORD@" + s3, "gpu-runner"},
		{"PDFMILL_MARKER_LAYOUT_URL=http://USER:PASSWORD@" + s3, "print"},
	} {
		env := append(slices.Clip(right), strings.Fields(secrets.Replace(fault.setting))...)
		for on := range strings.FieldsSeq(fault.on) {
			switch on {
			case "service", "gpu-runner":
				s := rig.Start(t, env, rig.Binary(t, "pdfmill-"+strings.Replace(on, "service", "ingest", 1)), "--http-addr", "127.0.0.1:0")
				pipelinetest.Eventually(t, "it says what is wrong: "+fault.setting, func() bool { return s.Gone() || strings.Contains(s.Log(), "is not there yet") })
				s.Kill()
				c.look("fault", on+" "+fault.setting, s.Log())
			case "print":
				printed, err := exec.CommandContext(t.Context(), "env", append(slices.Clone(env), rig.Binary(t, "pdfmill-gpu-runner"), "--print-config")...).CombinedOutput()
				if err != nil || !strings.Contains(string(printed), "***@"+s3) {
					t.Errorf("%v: %s", err, printed)
				}
				c.look("fault", on+" "+fault.setting, string(printed))
			default:
				command := map[string][]string{"nats": {"status", "--json"}, "store": {"submit", "../samples/letter.pdf"}}[on]
				out := rig.Command{Args: command, Env: env}.Run(t)
				if out.Code == 0 {
					t.Errorf("%s with %s: exit %d", command, fault.setting, out.Code)
				}
				c.look("fault", command[0]+" "+fault.setting, out.Stdout+out.Stderr)
			}
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
