package ingest

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// errLinked says that a key leads through a symbolic link.
var errLinked = errors.New(reasonReached)

// place is the path of the file that a key names in a folder. A key is somebody else's text: only one that is a plain relative path, and that leads to its file
// through no symbolic link, has a place. An error is errLinked, fs.ErrInvalid or that of looking.
func place(dir, key string) (string, fs.FileInfo, error) {
	local := filepath.FromSlash(key)
	if key == "" || key == "." || !filepath.IsLocal(local) || path.Clean(key) != key || strings.ContainsRune(key, 0) {
		return "", nil, fs.ErrInvalid
	}
	at := dir
	var about fs.FileInfo
	for part := range strings.SplitSeq(local, string(filepath.Separator)) {
		at = filepath.Join(at, part)
		var err error
		if about, err = os.Lstat(at); err != nil {
			return "", nil, err
		}
		if about.Mode()&fs.ModeSymlink != 0 {
			return "", nil, errLinked
		}
	}
	return at, about, nil
}
