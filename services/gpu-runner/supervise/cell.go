package supervise

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup"
)

// A cell is a folder of a worker, or of a server of models, which it alone has: for temporary files, as its home, and with what is in work. Where the kernel knows Landlock
// the process reaches no other files but programs', so that one that a document has taken over sees nothing of what others work on, or of the service's configuration,
// though all be of one user.

var saidLandlock sync.Once

// bear starts a child, in a cell where there is one, and returns. The child has a thread to itself until done is closed, because the kernel takes the death of the THREAD
// that started a child for the death of the parent (Pdeathsig): on a shared thread, another goroutine that ends its thread would take the child with it. The thread gives
// up what the child is not to have. The price is one sleeping thread a child.
func (c Command) bear(cmd *exec.Cmd, cell string, group *cgroup.Group, done <-chan struct{}, log *slog.Logger) error {
	if cell != "" {
		cmd.Env = append(cmd.Env, "HOME="+cell, "TMPDIR="+cell) // the last of a name counts
	}
	isolate(cmd, c.User)
	if c.Confined && c.Ports == nil {
		confine(cmd, log)
	}
	born := make(chan error)
	unprivileged.Apart(func() {
		err := c.renounce(cell, log)
		if err == nil {
			err = group.Start(cmd)
		}
		born <- err
		if err == nil {
			<-done
		}
	})
	return <-born
}

// renounce gives up what this thread and the process that it is to start are not to have. There is no way back.
func (c Command) renounce(cell string, log *slog.Logger) error {
	if !c.Confined {
		return nil
	}
	if err := unprivileged.Forgo(); err != nil || cell == "" {
		return err
	}
	if _, err := Landlock(); err != nil {
		saidLandlock.Do(func() { log.Warn("workers can read what others of their user work on", "err", err) })
		return nil //nolint:nilerr // it was said, and works without
	}
	return c.enclose(cell)
}

// newCell makes a cell below dir, "" for none.
func newCell(dir string, user *unprivileged.User) (string, error) {
	if dir == "" {
		return "", nil
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", err
	}
	cell, err := os.MkdirTemp(dir, "worker-")
	if err != nil {
		return "", err
	}
	return cell, user.Own(cell)
}

// enter puts a request's document and folder into the cell. leave puts the folder back.
func (p *Process) enter(r Request) (inside Request, leave func(), err error) {
	if p.cell == "" {
		return r, func() {}, nil
	}
	inside = r
	inside.Path, inside.OutDir = filepath.Join(p.cell, filepath.Base(r.Path)), filepath.Join(p.cell, "out")
	err = same(r.Path, inside.Path, p.cfg.Command.User)
	if err == nil {
		err = os.Rename(r.OutDir, inside.OutDir)
	}
	if err != nil {
		_ = os.Remove(inside.Path) // what can be left behind goes with the cell
		return r, nil, failure.New(failure.StoreUnavailable, "put into a worker's folder", r.subject(), err).WithHint("make room in the scratch folder, or choose another one")
	}
	return inside, func() {
		if err := errors.Join(os.Rename(inside.OutDir, r.OutDir), os.Remove(inside.Path)); err != nil {
			p.log.Warn("a worker has spoiled its folder", "err", err)
		}
	}, nil
}

// same makes a file be at another path, too.
func same(from, to string, user *unprivileged.User) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	source, err := os.Open(from) // not every file system has links
	if err != nil {
		return err
	}
	defer source.Close()
	copied, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(copied, source)
	return errors.Join(err, copied.Close(), user.Read(to))
}

// removeCell removes the cell of a worker that is gone, once nobody has anything in it.
func (p *Process) removeCell(log *slog.Logger) {
	if p.cell == "" {
		return
	}
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	if err := os.RemoveAll(p.cell); err != nil {
		log.Warn("a worker's folder stays behind", "dir", p.cell, "err", err)
	}
}
