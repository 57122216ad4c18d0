package ingest

import (
	"io/fs"
	"syscall"
)

func markOf(about fs.FileInfo) mark {
	m := mark{size: about.Size(), modTime: about.ModTime().UnixNano()}
	if sys, ok := about.Sys().(*syscall.Stat_t); ok {
		m.ctime, m.inode = sys.Ctim.Nano(), sys.Ino
	}
	return m
}
