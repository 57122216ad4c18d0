package embedded

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// Secrets returns a secret for each name: those in the file at path, and new ones for names that it lacks, which are added to it. The file is readable
// by its owner only, replaced in one step and synced, so that a secret handed out once is the same at the next start, also when two processes start at once.
// It fails when the file is damaged, or when others may read or write it.
func Secrets(path string, names ...string) (map[string]string, error) {
	sync := fsync((*os.File).Sync)
	if err := sync.makeDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("make folder for credentials: %w", err)
	}
	guard := flock.New(path+".lock", flock.SetPermissions(0o600))
	if err := guard.Lock(); err != nil {
		return nil, fmt.Errorf("lock credentials file %s: %w", path, err)
	}
	defer func() { _ = guard.Unlock() }()
	known, err := readSecrets(path)
	if err != nil {
		return nil, err
	}
	fresh := false
	for _, name := range names {
		if known[name] == "" {
			known[name], fresh = rand.Text()+rand.Text(), true // 2 × 128 bits
		}
	}
	if fresh {
		if err := writeSecrets(path, known, sync); err != nil {
			return nil, err
		}
	}
	return known, nil
}

func readSecrets(path string) (map[string]string, error) {
	known := map[string]string{}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	about, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	if mode := about.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("credentials file %s has mode %04o, others may have read it (delete it, and new ones are made, or keep it with chmod 600)", path, mode)
	}
	if json.Unmarshal(content, &known) != nil || known == nil { // the decoder's error would show what it read
		return nil, fmt.Errorf("credentials file %s is damaged (delete it, and new ones are made)", path)
	}
	return known, nil
}

func writeSecrets(path string, secrets map[string]string, sync fsync) error {
	content, err := json.MarshalIndent(secrets, "", "  ")
	if err != nil {
		return fmt.Errorf("encode credentials: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".credentials-") // mode 0600
	if err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	defer os.Remove(file.Name())
	_, err = file.Write(append(content, '\n'))
	err = errors.Join(err, sync(file), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err == nil {
		err = sync.path(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write credentials to %s: %w", path, err)
	}
	return nil
}
