//go:build !linux

package embedded

// identify can't tell folders apart here, so that none is remembered.
func identify(string) identity { return identity{} }
