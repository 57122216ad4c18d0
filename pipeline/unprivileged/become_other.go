//go:build !linux

package unprivileged

import "fmt"

// Become makes this whole process the user, for good; it can't here.
func (u *User) Become() error {
	if u == nil {
		return nil
	}
	return fmt.Errorf("become %s: not on this system", u)
}
