//go:build cluster

package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/e2e/weather"
)

// skewedVariable names the environment variable that names the folder with services whose clock can be wrong.
const skewedVariable = "PDFMILL_CLUSTER_SKEWED"

// buildSkewed builds the services into dir so that they believe what they are told of the time.
func buildSkewed(dir string) error {
	var programs []string
	for _, s := range services {
		programs = append(programs, "github.com/pdfmill/pdfmill/services/"+s+"/cmd/"+s)
	}
	return weather.Build(dir, programs...)
}

// skewed has the hosts' clocks differ by twenty minutes, twice as long as NATS remembers a message's id: one is ten minutes ahead, the other ten behind, which is
// less than S3 takes for a forgery. Then they change places while all runs. NATS and MinIO have the right time.
func (l *load) skewed(t *testing.T) {
	built := os.Getenv(skewedVariable)
	right, files := l.binary, []string{}
	set := func(steps ...time.Duration) {
		t.Helper()
		for i, step := range steps {
			if err := weather.Set(files[i], step, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace := func() {
		t.Helper()
		for _, s := range services {
			for i, p := range l.running[s] {
				p.Stop(time.Minute)
				l.start(s, i)
			}
		}
		l.ready()
	}
	for _, h := range l.hosts {
		files = append(files, filepath.Join(l.dir, "weather-"+h.name))
	}
	set(10*time.Minute, -10*time.Minute)
	l.binary = func(name string, i int) string {
		if service, is := strings.CutPrefix(name, "pdfmill-"); is {
			return filepath.Join(built, service)
		}
		return right(name, i)
	}
	l.weather = func(host int) string { return files[host] }
	l.during(func() {
		replace()
		for _, key := range []string{"clocks/twice.pdf", "clocks/other.pdf", "clocks/twice.pdf"} { // what is dropped again is taken again
			l.drop("versioned", key, rig.Document(l.samples, 95_000+l.n))
			l.ended("versioned/" + key)
		}
		l.pass(4 * time.Second)
		set(-10*time.Minute, 10*time.Minute)
		l.pass(4 * time.Second)
	})
	l.settle()
	l.binary, l.weather = right, nil
	replace()
}
