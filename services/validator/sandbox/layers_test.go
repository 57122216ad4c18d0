package sandbox

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/klippa-app/go-pdfium/requests"
)

// ordinary are the files that everybody converts.
func ordinary(b *testing.B) []string {
	b.Helper()
	dir := os.Getenv("PDFMILL_CORPUS")
	if dir == "" {
		dir = "../../../e2e/testdata/corpus"
	}
	file, err := os.Open(filepath.Join(dir, "manifest.csv"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		b.Fatal(err)
	}
	name, class := slices.Index(rows[0], "file"), slices.Index(rows[0], "class")
	var files []string
	for _, row := range rows[1:] {
		if row[class] == "ok" {
			files = append(files, filepath.Join(dir, row[name]))
		}
	}
	if len(files) == 0 {
		b.Fatal("no ordinary files in " + dir)
	}
	return files
}

// cpuTime is the processor time of this process and of its children that have ended.
func cpuTime(b *testing.B) (all time.Duration) {
	b.Helper()
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		all += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return all
}

// BenchmarkLayers tells what each layer of safety costs, in processor time a file.
func BenchmarkLayers(b *testing.B) {
	files := ordinary(b)
	bounds := Bounds{Pages: 10_000, Points: 1e5, Pixels: 5e8, DPI: 192, ImagePixels: 6e8, Objects: 1e6, Content: 48 << 20, Chars: 5e5, Nesting: 24}
	effort := Effort{Load: 10 * time.Second, Text: 500 * time.Millisecond}
	probe := func() *probe {
		p, err := newProbe(setup{CacheDir: cacheDir(), Memory: 256 << 20}, json.NewEncoder(io.Discard))
		if err != nil {
			b.Fatal(err)
		}
		return p
	}
	measure := func(name string, each func(path string)) {
		b.Run(name, func(b *testing.B) {
			began := cpuTime(b)
			for range b.N {
				for _, path := range files {
					each(path)
				}
			}
			b.ReportMetric((cpuTime(b)-began).Seconds()*1000/float64(b.N*len(files)), "ms/file")
		})
	}
	p := probe()
	load := func(path string, reader func(*os.File) io.ReadSeeker) {
		file, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			b.Fatal(err)
		}
		opened, err := p.instance.OpenDocument(&requests.OpenDocument{FileReader: reader(file), FileReaderSize: info.Size()})
		if err != nil {
			b.Fatal(err)
		}
		count, err := p.instance.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: opened.Document})
		if err != nil {
			b.Fatal(err)
		}
		for i := range count.PageCount {
			page, err := p.instance.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: opened.Document, Index: i})
			if err != nil {
				continue // some have a page that can't be loaded
			}
			if _, err := p.instance.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: page.Page}); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := p.instance.FPDF_CloseDocument(&requests.FPDF_CloseDocument{Document: opened.Document}); err != nil {
			b.Fatal(err)
		}
	}
	plain := func(f *os.File) io.ReadSeeker { return f }
	measure("WebAssembly:_open,_count,_load_every_page", func(path string) { load(path, plain) })
	measure("and_a_fresh_instance_for_each_file", func(path string) {
		load(path, plain)
		p.refs = maxObjectRefs
		if err := p.renew(); err != nil {
			b.Fatal(err)
		}
	})
	measure("and_content_measured,_instances_reused", func(path string) {
		load(path, func(f *os.File) io.ReadSeeker {
			m := &meter{inflater: &p.inflater, file: f, size: 1 << 62, bound: bounds.Content, chars: bounds.Chars}
			if info, err := f.Stat(); err == nil {
				m.size = info.Size()
			}
			m.reset()
			return m
		})
	})
	ask := func(thumbnail int) func(string) {
		return func(path string) {
			p.answer(question{Path: path, From: 1, Bounds: bounds, Effort: effort, Thumbnail: thumbnail})
			if err := p.renew(); err != nil || p.over {
				b.Fatal(path, err)
			}
		}
	}
	measure("and_objects,_text,_facts", ask(0))
	measure("and_a_picture", ask(320))
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for _, shared := range []struct {
		name    string
		recycle int
	}{{"and_a_process_of_its_own,_with_limits,_for_500_files", 500}, {"and_one_for_each_file", 1}} {
		pool, err := NewPool(Config{Command: []string{self, "probe"}, CacheDir: cacheDir(), Bounds: bounds, Effort: effort, Recycle: shared.recycle, Limit: time.Minute, PageLimit: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		measure(shared.name, func(path string) {
			if _, err := pool.Inspect(b.Context(), Document{Path: path, Thumbnail: 320}); err != nil {
				b.Fatal(path, err)
			}
			if path == files[len(files)-1] {
				pool.mu.Lock()
				idle := pool.idle
				pool.idle = nil
				pool.mu.Unlock()
				for _, c := range idle {
					c.kill() // its time counts when it has ended
				}
			}
		})
		pool.Close()
	}
}
