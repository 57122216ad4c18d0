package jet

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// NewSeed makes the key of a NATS user; the seed is the secret.
func NewSeed() ([]byte, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("make an nkey: %w", err)
	}
	return pair.Seed()
}

// PublicKey is by which servers know the user with a seed.
func PublicKey(seed []byte) (string, error) {
	pair, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		return "", fmt.Errorf("read an nkey's seed: %w", err)
	}
	return pair.PublicKey()
}

// nkey is a user's key in a file, which may be replaced at any time.
type nkey struct {
	path string
	conn atomic.Pointer[nats.Conn] // that uses it; nil until there is one
}

var errKeyReplaced = errors.New("the nkey was replaced: the next try uses the new one")

func (k *nkey) read() (nkeys.KeyPair, error) {
	seed, err := os.ReadFile(k.path)
	if err != nil {
		return nil, fmt.Errorf("nkey seed file: %w", err)
	}
	pair, err := nkeys.ParseDecoratedUserNKey(seed)
	if err != nil {
		return nil, fmt.Errorf("nkey seed file %s: %w", k.path, err)
	}
	return pair, nil
}

func (k *nkey) public() (string, error) {
	pair, err := k.read()
	if err != nil {
		return "", err
	}
	return pair.PublicKey()
}

// sign answers a server's challenge. The client asks it while it connects and has read the public key before, from options that only it may touch meanwhile: so
// this is where another one is put in, and the try that goes on has to fail.
func (k *nkey) sign(nonce []byte) ([]byte, error) {
	pair, err := k.read()
	if err != nil {
		return nil, err
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, err
	}
	if conn := k.conn.Load(); conn != nil && conn.Opts.Nkey != public {
		conn.Opts.Nkey = public
		return nil, errKeyReplaced
	}
	return pair.Sign(nonce)
}
