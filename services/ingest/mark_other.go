//go:build !linux

package ingest

import "io/fs"

func markOf(about fs.FileInfo) mark {
	return mark{size: about.Size(), modTime: about.ModTime().UnixNano()}
}
