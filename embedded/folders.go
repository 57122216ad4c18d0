package embedded

import (
	"path/filepath"
	"sync"
)

// mostFolders bounds what is remembered; then it begins anew.
const mostFolders = 1 << 14

// folders remembers those whose name, and the names of all above them, are known to be on the disk, so that they need not be synced for each object below. A
// folder is known as long as it is the very one that was synced. It is for folders that nobody moves: not for those that users work in.
type folders struct {
	mu    sync.Mutex
	known map[string]identity
}

// identity tells a folder from one that is made in its place: file systems use numbers again at once, hence the time of birth.
type identity struct {
	device, number, born uint64
	ok                   bool // false: the system does not tell
}

func (f *folders) knows(dir string, which identity) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return which.ok && f.known[dir] == which
}

func (f *folders) add(these map[string]identity) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil || len(f.known)+len(these) > mostFolders {
		f.known = map[string]identity{}
	}
	for dir, which := range these {
		f.known[dir] = which
	}
}

// name makes the name of path, a file or folder below top, durable: by its folder, and by those above up to top, but for what is known.
func (f *folders) name(sync fsync, path, top string) error {
	last := filepath.Dir(path)
	fresh := map[string]identity{}
	for ; len(last) > len(top); last = filepath.Dir(last) {
		which := identify(last) // before it is synced: one that is made in its place meanwhile is another
		if f.knows(last, which) {
			break
		}
		fresh[last] = which
	}
	if err := sync.up(path, last); err != nil {
		return err
	}
	f.add(fresh)
	return nil
}
