package embedded

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Secrets returns a secret for each name: those in the file at path, and new ones for names that it lacks, which are added to it. The file is readable
// by its owner only, replaced in one step and synced, so that a secret handed out once is the same at the next start.
func Secrets(path string, names ...string) (map[string]string, error) {
	known := map[string]string{}
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read credentials: %w", err)
	default:
		if err := json.Unmarshal(content, &known); err != nil {
			return nil, fmt.Errorf("credentials file %s is damaged: %w (delete it, and new ones are made)", path, err)
		}
	}
	fresh := false
	for _, name := range names {
		if known[name] == "" {
			known[name], fresh = rand.Text()+rand.Text(), true
		}
	}
	if !fresh {
		return known, nil
	}
	return known, write(path, known)
}

func write(path string, secrets map[string]string) error {
	content, err := json.MarshalIndent(secrets, "", "  ")
	if err != nil {
		return fmt.Errorf("encode credentials: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make folder for credentials: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".credentials-") // mode 0600
	if err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	defer os.Remove(file.Name())
	_, err = file.Write(append(content, '\n'))
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write credentials to %s: %w", path, err)
	}
	return nil
}

// syncDir makes names in a folder survive a power cut.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open folder to sync it: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}
