package embedded

import "os"

// WithFsync has the gateway call f where it would sync a file or folder.
func WithFsync(c S3Config, f func(*os.File) error) S3Config {
	c.fsync = f
	return c
}

// SyncsAlways says whether the server syncs each message.
func (n *NATS) SyncsAlways() bool { return n.server.JetStreamConfig().SyncAlways }
