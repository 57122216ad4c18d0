// Package endpoints is the file by which a running pipeline is found: where it listens and with which credentials.
package endpoints

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Name of the file in the data directory.
const Name = "endpoints.json"

// Endpoints of a pipeline. The file holds secrets: its mode is 0600.
type Endpoints struct {
	NATSURL      string `json:"nats_url"`
	NATSUser     string `json:"nats_user,omitempty"`
	NATSPassword string `json:"nats_password,omitempty"`
	NATSCreds    string `json:"nats_creds,omitempty"`
	S3Endpoint   string `json:"s3_endpoint"`
	S3AccessKey  string `json:"s3_access_key"`
	S3SecretKey  string `json:"s3_secret_key"`
	InboxBucket  string `json:"inbox_bucket"`
	InboxPrefix  string `json:"inbox_prefix,omitempty"` // with which keys of drops begin there
	InboxDir     string `json:"inbox_dir,omitempty"`
	HTTPURL      string `json:"http_url,omitempty"`
	Bucket       string `json:"bucket"` // pdfmill's own
	PID          int    `json:"pid,omitempty"`
	Version      string `json:"version,omitempty"`
	// OperatorUser and OperatorPassword may do everything: status, dead letters, replay.
	OperatorUser     string `json:"operator_user,omitempty"`
	OperatorPassword string `json:"operator_password,omitempty"`
	// S3OperatorKey and S3OperatorSecret may write and delete in every bucket.
	S3OperatorKey    string `json:"s3_operator_key,omitempty"`
	S3OperatorSecret string `json:"s3_operator_secret,omitempty"`
}

// ErrNone says that no pipeline wrote endpoints there.
var ErrNone = errors.New("no running pipeline")

// Read reads the endpoints of the pipeline that runs with data directory dir.
func Read(dir string) (Endpoints, error) {
	path := filepath.Join(dir, Name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Endpoints{}, fmt.Errorf("%w found in %s (start one with: pdfmill up --data %s; or name another data directory with --data)", ErrNone, dir, dir)
	}
	if err != nil {
		return Endpoints{}, fmt.Errorf("read %s: %w", path, err)
	}
	var e Endpoints
	if err := json.Unmarshal(data, &e); err != nil {
		return Endpoints{}, fmt.Errorf("read %s: %w (restart pdfmill up, which writes it anew)", path, err)
	}
	return e, nil
}

// Write stores e in dir, whole or not at all, readable by its owner only.
func (e Endpoints) Write(dir string) error {
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("marshal endpoints: %w", err)
	}
	file, err := os.CreateTemp(dir, "."+Name+"-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", Name, err)
	}
	_, err = file.Write(append(data, '\n'))
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), filepath.Join(dir, Name))
	}
	if err != nil {
		_ = os.Remove(file.Name()) // the first error matters
		return fmt.Errorf("write %s: %w", Name, err)
	}
	return nil
}

// Remove takes the file away when the pipeline stops.
func Remove(dir string) error {
	if err := os.Remove(filepath.Join(dir, Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", Name, err)
	}
	return nil
}
