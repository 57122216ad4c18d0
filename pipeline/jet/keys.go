package jet

import (
	"fmt"

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
