// Package secret turns the name of a secret, which may travel, into the secret, which may not: it is read where it is needed, from a folder of files (a mounted
// volume, a Nomad or Vault template) or from the environment of the service, and never printed.
package secret

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Config says where secrets are.
type Config struct {
	Dir string `name:"secrets-dir" env:"PDFMILL_SECRETS_DIR" type:"path" placeholder:"DIR" help:"Folder of secrets, one file each, one password a line, for the option password-ref. Also looked for: the environment variable PDFMILL_SECRET_<NAME>."`
}

// EnvPrefix is what the environment variable of a secret starts with; its name follows in upper case, with '_' for '-'.
const EnvPrefix = "PDFMILL_SECRET_"

// Bounds of what is read of one secret.
const (
	maxBytes = 4 << 10
	maxLines = 32
)

// ErrUnknown says that no source has the secret.
var ErrUnknown = errors.New("unknown secret")

// Text is a secret. It shows itself only to Reveal: whatever else formats or marshals it gets a placeholder.
type Text struct{ value string }

const placeholder = "[secret]"

// Reveal returns the secret. What is done with it must stay in memory and on private pipes.
func (t Text) Reveal() string { return t.value }

// Format implements fmt.Formatter: no verb shows the secret.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, placeholder) }

// MarshalText implements encoding.TextMarshaler, for JSON and for logs.
func (t Text) MarshalText() ([]byte, error) { return []byte(placeholder), nil }

// Store looks secrets up: in the folder, then in the environment. Nothing is kept, so that a secret that is changed or removed takes effect at once.
type Store struct {
	dir    string
	lookup func(string) (string, bool)
}

// NewStore returns a store over the folder, if any, and this process' environment.
func NewStore(c Config) *Store { return &Store{dir: c.Dir, lookup: os.LookupEnv} }

// Lookup returns the passwords of a secret in the order in which they are to be tried. The error wraps ErrUnknown when nobody has it; no error says more
// than the secret's name.
func (s *Store) Lookup(name string) ([]Text, error) {
	if !valid(name) {
		return nil, fmt.Errorf("secret %.70q: %w: a name has letters, digits, '-' and '_'", name, ErrUnknown)
	}
	var found []Text
	var looked []string
	if s.dir != "" {
		text, err := s.file(name)
		switch {
		case err == nil:
			found = append(found, lines(text)...)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("read secret %q: %w", name, err)
		}
		looked = append(looked, "secrets-dir "+s.dir)
	}
	variable := EnvPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if text, ok := s.lookup(variable); ok {
		found = append(found, lines([]byte(text))...)
	}
	if looked = append(looked, "environment variable "+variable); len(found) == 0 {
		return nil, fmt.Errorf("secret %q: %w to this service: looked in %s", name, ErrUnknown, strings.Join(looked, ", "))
	}
	return found, nil
}

func (s *Store) file(name string) ([]byte, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err == nil && len(text) > maxBytes {
		err = fmt.Errorf("it has more than %d bytes", maxBytes)
	}
	return text, err
}

func valid(name string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

func lines(text []byte) []Text {
	var out []Text
	for scanner := bufio.NewScanner(bytes.NewReader(text)); scanner.Scan() && len(out) < maxLines; {
		if line := scanner.Text(); line != "" {
			out = append(out, Text{line})
		}
	}
	return out
}
