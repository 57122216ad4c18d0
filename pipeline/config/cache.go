package config

import (
	"fmt"
	"os"
	"path/filepath"
)

// CacheDir is the absolute path of dir, the folder for what can be made again (compiled code, Python environments, models); "" is pdfmill in the
// user's cache folder.
func CacheDir(dir string) (string, error) {
	if dir != "" {
		return filepath.Abs(dir)
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder: %w (name one with --cache)", err)
	}
	return filepath.Join(user, "pdfmill"), nil
}
