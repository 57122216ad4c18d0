// Package unprivileged is the user that hostile bytes are parsed as where a service was started as root: one who owns nothing and may read only what
// everybody may, and what it is given.
package unprivileged

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Words that a configuration may have in place of a user.
const (
	Auto = "auto" // as root: nobody, where that user can reach what it needs; else the user of this process
	None = "none" // the user of this process
)

// nobody is the number of the user that owns nothing, where the system does not know it by name.
const nobody = 65534

// User is whom a child process becomes. A nil *User is that of this process.
type User struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"` // further ones, like that of a device
}

// Find returns the user that a word names: auto, none, a user's name, or UID:GID. Only root can name another than itself.
func Find(word string) (*User, error) {
	switch {
	case word == None, word == "":
		return nil, nil
	case word == Auto && os.Geteuid() != 0:
		return nil, nil
	case word == Auto:
		if u, err := named("nobody"); err == nil {
			return u, nil
		}
		return &User{UID: nobody, GID: nobody}, nil
	}
	u, err := numbered(word)
	if err != nil {
		u, err = named(word)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: name a user of this system, or UID:GID", err)
	case int(u.UID) == os.Geteuid():
		return nil, nil
	case os.Geteuid() != 0:
		return nil, fmt.Errorf("only root can start processes as user %s", word)
	}
	return u, nil
}

func numbered(word string) (*User, error) {
	uid, gid, both := strings.Cut(word, ":")
	u, err := strconv.ParseUint(uid, 10, 32)
	g, err2 := strconv.ParseUint(gid, 10, 32)
	if err = errors.Join(err, err2); err != nil || !both {
		return nil, fmt.Errorf("%q is not UID:GID", word)
	}
	return &User{UID: uint32(u), GID: uint32(g)}, nil
}

func named(name string) (*User, error) {
	known, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	u, err := numbered(known.Uid + ":" + known.Gid)
	if err != nil {
		return nil, err
	}
	groups, err := known.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %s: %w", name, err)
	}
	for _, g := range groups {
		if n, err := strconv.ParseUint(g, 10, 32); err == nil && uint32(n) != u.GID {
			u.Groups = append(u.Groups, uint32(n))
		}
	}
	return u, nil
}

// String names the user in messages.
func (u *User) String() string {
	if u == nil {
		return "the user of this process"
	}
	return fmt.Sprintf("user %d", u.UID)
}

// Credential is for a child's SysProcAttr.
func (u *User) Credential() *syscall.Credential {
	if u == nil {
		return nil
	}
	return &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
}

// Own gives the user a file or folder.
func (u *User) Own(path string) error {
	if u == nil {
		return nil
	}
	return os.Lchown(path, int(u.UID), int(u.GID))
}

// Read lets the user read a file of this process', and not write it.
func (u *User) Read(path string) error {
	if u == nil {
		return nil
	}
	return errors.Join(os.Lchown(path, -1, int(u.GID)), os.Chmod(path, 0o640))
}

// Reach reports which folder keeps the user from a path, which need not be there yet. It goes by permissions; what access lists allow beyond them it does not know.
func (u *User) Reach(path string) error {
	if u == nil {
		return nil
	}
	real, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return err
	}
	real = filepath.Join(real, filepath.Base(path))
	if end, err := filepath.EvalSymlinks(path); err == nil {
		real = end
	}
	for _, way := range []string{path, real} {
		for dir := filepath.Dir(way); ; dir = filepath.Dir(dir) {
			info, err := os.Stat(dir)
			if err != nil {
				return err
			}
			if !u.may(info, 0o1) {
				return fmt.Errorf("%s may not enter %s: %w", u, dir, fs.ErrPermission)
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return nil
}

// may reports whether the user has the right, one of the last three bits of a mode, to a file.
func (u *User) may(info fs.FileInfo, right fs.FileMode) bool {
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		switch {
		case owner.Uid == u.UID:
			right <<= 6
		case owner.Gid == u.GID || slices.Contains(u.Groups, owner.Gid):
			right <<= 3
		}
	}
	return info.Mode().Perm()&right != 0
}
