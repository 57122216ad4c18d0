//go:build !linux

package ingest

func writing(string) (bool, error) { return false, errUnasked }
