package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Landlock is how a process gives up files, signals and sockets for good, without privileges. It is asked for by its own calls, because a library that restricts
// whole processes would restrict this one: here one thread gives up what its child is not to have.

// What the kernel is asked to guard: everything that its version knows, but for ioctls of devices.
const (
	readFiles   = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE
	readFolders = readFiles | unix.LANDLOCK_ACCESS_FS_READ_DIR
	writeFiles  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	guarded1    = 1<<13 - 1 // version 1: up to MAKE_SYM
	guarded2    = guarded1 | unix.LANDLOCK_ACCESS_FS_REFER
	guarded3    = guarded2 | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	ports4      = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	scoped6     = unix.LANDLOCK_SCOPE_SIGNAL | unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
)

const ruleNetPort = 2 // LANDLOCK_RULE_NET_PORT

// system is what programs of a system need, where it is there. Of /etc it is what loaders, resolvers and fonts read: configurations of services lie there too.
var system = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store", "/proc", "/sys/devices/system", "/etc/alternatives", "/etc/fonts", "/etc/group", "/etc/ld.so.cache",
	"/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/os-release", "/etc/passwd", "/etc/ssl",
}

// What else those need who find hosts by their names, and those who use a GPU: of its driver they write the devices, below.
var (
	resolver = []string{"/etc/gai.conf", "/etc/host.conf", "/etc/hosts", "/etc/resolv.conf"}
	hardware = []string{"/sys/bus/pci", "/sys/devices"}
)

const drivers = "/dev/nvidia*"

// Landlock is the version of Landlock that the kernel has; the error says that it has none.
func Landlock() (version int, err error) {
	r, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errno != 0:
		return 0, fmt.Errorf("the kernel has no Landlock (Linux 5.13 and later, if it is built in and not turned off): %w", errno)
	default:
		return int(r), nil
	}
}

// enclose leaves this thread, and every process that it starts, of all files what is in the folder own, and to read what is named and what programs need of the
// system; of the network, if any, the ports. Nor can it send signals to processes that are not its children, or see into them, though they be of the same user.
//
// Who uses a GPU may write to files of processes of its user in /proc that the kernel opens to that user: CUDA doesn't start where it can't name its threads, and a
// process' own folder has no name before the process is there. To root they all are open, and settings of the kernel.
func (c Command) enclose(own string) error {
	version, err := Landlock()
	if err != nil {
		return err
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: guarded1}
	if version >= 2 {
		attr.Handled_access_fs = guarded2
	}
	if version >= 3 {
		attr.Handled_access_fs = guarded3
	}
	if version >= 6 {
		attr.Scoped = scoped6
	}
	if version >= 4 && c.Ports != nil {
		attr.Handled_access_net = ports4
	}
	r, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return fmt.Errorf("Landlock: %w", errno)
	}
	rules := int(r)
	defer unix.Close(rules) //nolint:errcheck // the thread has it by then
	faults := []error{allow(rules, own, attr.Handled_access_fs)}
	reads, writes := slices.Concat(system, []string{c.Path}, c.Reads), []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}
	if attr.Handled_access_net != 0 {
		faults = append(faults, c.Ports.allow(rules))
	}
	if c.Ports != nil {
		reads = append(reads, resolver...)
	}
	if c.GPU {
		devices, err := filepath.Glob(drivers)
		faults, reads, writes = append(faults, err), append(reads, hardware...), append(writes, devices...)
	}
	for _, path := range reads {
		faults = append(faults, allow(rules, path, readFolders))
	}
	for _, path := range writes {
		faults = append(faults, allow(rules, path, readFolders|writeFiles))
	}
	if c.GPU || os.Geteuid() != 0 { // without a GPU for the parent, which writes the child's user namespace
		faults = append(faults, allow(rules, "/proc", (readFolders|writeFiles|unix.LANDLOCK_ACCESS_FS_TRUNCATE)&attr.Handled_access_fs))
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(rules), 0, 0); errno != 0 {
		return fmt.Errorf("Landlock: %w", errno)
	}
	return nil
}

// allow adds rules for the ports.
func (p *Ports) allow(rules int) error {
	var faults []error
	add := func(access uint64, ports []int) {
		for _, port := range ports {
			rule := struct{ access, port uint64 }{access, uint64(port)}
			if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), ruleNetPort, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 {
				faults = append(faults, fmt.Errorf("allow port %d by Landlock: %w", port, errno))
			}
		}
	}
	add(unix.LANDLOCK_ACCESS_NET_BIND_TCP, p.Listen)
	add(unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, p.Connect)
	return errors.Join(faults...)
}

// allow adds a rule for a file, or a folder and what is below; one that is not there needs none.
func allow(rules int, path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s for Landlock: %w", path, err)
	}
	defer unix.Close(fd) //nolint:errcheck // it was only a name
	var about unix.Stat_t
	if err := unix.Fstat(fd, &about); err != nil {
		return fmt.Errorf("look at %s for Landlock: %w", path, err)
	}
	if about.Mode&unix.S_IFMT != unix.S_IFDIR { // of rights to folders the kernel wants none
		access &= readFiles | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("allow %s by Landlock: %w", path, errno)
	}
	return nil
}
