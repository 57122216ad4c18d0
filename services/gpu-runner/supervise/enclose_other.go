//go:build !linux

package supervise

import "errors"

// Landlock is the version of Landlock that the kernel has; the error says that it has none.
func Landlock() (version int, err error) { return 0, errors.New("Landlock is Linux's") }

// enclose would leave this thread's children their own files; it can't here.
func (Command) enclose(string) error { return errors.New("Landlock is Linux's") }
