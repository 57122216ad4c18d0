package unprivileged

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	root := os.Geteuid() == 0
	for word, c := range map[string]struct {
		same  bool // nobody else
		wrong bool
	}{
		Auto:                {same: !root},
		None:                {same: true},
		"":                  {same: true},
		"65000:65001":       {wrong: !root},
		"65000":             {wrong: true},
		"no-such-user-ever": {wrong: true},
		"-1:5":              {wrong: true},
		"4294967296:1":      {wrong: true},
		"root":              {same: root, wrong: !root},
	} {
		u, err := Find(word)
		if (err != nil) != c.wrong || !c.wrong && (u == nil) != c.same {
			t.Errorf("%q as root %t: %v, %v", word, root, u, err)
		}
	}
	if u, err := Find("65000:65001"); root && (err != nil || u.UID != 65000 || u.GID != 65001 || len(u.Groups) != 0) {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestReach(t *testing.T) {
	dir := t.TempDir()
	for _, closed := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(closed, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "open", "closed", "file")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	stranger := &User{UID: 65000, GID: 65001}
	for _, path := range []string{file, link} {
		if err := stranger.Reach(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := os.Chmod(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		if err := stranger.Reach(path); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s in a closed folder: %v", path, err)
		}
	}
	owner := &User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	if err := owner.Reach(file); err != nil {
		t.Errorf("its owner: %v", err)
	}
	if err := (*User)(nil).Reach("/no/such/path"); err != nil {
		t.Errorf("the user of this process: %v", err)
	}
	if err := stranger.Reach(filepath.Join(dir, "to come")); err != nil {
		t.Errorf("a path that is not there yet: %v", err)
	}
	if err := stranger.Reach(filepath.Join(dir, "missing", "file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
