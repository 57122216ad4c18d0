// Package document identifies what a job is about: an object that a user dropped, and the bytes it held.
package document

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Source is one accepted object of a user's bucket.
type Source struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	ETag   string `json:"etag,omitempty"`
	Size   int64  `json:"size"`             // bytes
	SHA256 string `json:"sha256,omitempty"` // hex, of the bytes that were accepted
	// ModTime is the object's last modification, cut to seconds, which is all that every store reports alike.
	ModTime time.Time `json:"mod_time"`
}

// Path is "bucket/key", the name people use and the CloudEvents subject.
func (s Source) Path() string { return s.Bucket + "/" + s.Key }

// Version identifies this state of the object without reading it: a rescan compares versions, not bytes. It is a hex string of 32 digits.
func (s Source) Version() string {
	return digest(s.Bucket, s.Key, s.ETag, fmt.Sprint(s.Size), fmt.Sprint(s.ModTime.Unix()))
}

// ObjectKey is where pdfmill keeps the accepted bytes.
func (s Source) ObjectKey() string { return SourceKey(s.SHA256) }

// SourceKey is the key, in pdfmill's own bucket, of the source with this hash.
func SourceKey(sha string) string { return "source/" + sha + ".pdf" }

// KeyID is the name of the source's entry in the KV bucket `pdf_sources`: one an object key, whatever its versions.
func (s Source) KeyID() string { return digest(s.Bucket, s.Key) }

// digest hashes strings unambiguously (as a JSON list) to 32 hex digits.
func digest(parts ...string) string {
	text, _ := json.Marshal(parts) // a list of strings always marshals
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Digest hashes strings unambiguously to 32 hex digits; message ids and job ids are made with it.
func Digest(parts ...string) string { return digest(parts...) }
