//go:build !linux

package unprivileged

import (
	"fmt"
	"syscall"
)

// Become makes this whole process the user, for good.
func (u *User) Become() error {
	if u == nil {
		return nil
	}
	groups := make([]int, len(u.Groups))
	for i, g := range u.Groups {
		groups[i] = int(g)
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("become %s: groups: %w", u, err)
	}
	if err := syscall.Setgid(int(u.GID)); err != nil {
		return fmt.Errorf("become %s: group: %w", u, err)
	}
	if err := syscall.Setuid(int(u.UID)); err != nil {
		return fmt.Errorf("become %s: %w", u, err)
	}
	return nil
}
