//go:build linux

package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// insideVariable tells the test that it runs in namespaces of its own.
const insideVariable = "PDFMILL_CLUSTER_INSIDE"

// enter runs this program again in namespaces of its own: network, mounts and processes, all of which end with it. ok is false where the kernel allows none.
func enter(env []string) (code int, ok bool) {
	runtime.LockOSThread()                                // the kernel takes the end of this thread for the end of the parent
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...) //nolint:noctx // the test binary's own timeout ends it
	cmd.Env = append(append(os.Environ(), insideVariable+"=1"), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		fmt.Fprintf(os.Stderr, "no namespaces here (%v): hosts are addresses of the loopback\n", err)
		return 0, false
	}
	return cmd.ProcessState.ExitCode(), true
}

// furnish makes what a network of hosts needs in namespaces that are new.
func furnish() error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"none", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"proc", "/proc", "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
		{"tmpfs", "/run", "tmpfs", 0}, // for the names of network namespaces
	} {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.source, m.target, err)
		}
	}
	hosts := filepath.Join(os.TempDir(), fmt.Sprintf("pdfmill-hosts-%d", os.Getppid()))
	text := "127.0.0.1 localhost\n" + bridgeAddress + " " + virtualDomain
	for _, bucket := range []string{"inbox", "versioned", "shared", "pdfmill"} {
		text += " " + bucket + "." + virtualDomain
	}
	err := os.WriteFile(hosts, []byte(text+"\n"), 0o600)
	defer os.Remove(hosts) // the mount keeps it
	if err = errors.Join(err, syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, "")); err != nil {
		return fmt.Errorf("names of hosts: %w", err)
	}
	return errors.Join(ip("link", "set", "lo", "up"), ip("link", "add", "bridge", "type", "bridge"),
		ip("addr", "add", bridgeAddress+"/24", "dev", "bridge"), ip("link", "set", "bridge", "up"))
}

// bridgeAddress is where the test is, in the network of hosts that are namespaces.
const bridgeAddress = "10.0.0.1"

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil { //nolint:noctx // it only speaks to the kernel
		return fmt.Errorf("ip %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// network is what hosts are connected to.
type network struct {
	t      testing.TB
	subnet string // the first three bytes of the addresses
	real   bool   // hosts are namespaces
	hosts  int
}

func newNetwork(t testing.TB) *network {
	if os.Getenv(insideVariable) != "" {
		return &network{t: t, subnet: "10.0.0", real: true}
	}
	return &network{t: t, subnet: fmt.Sprintf("127.%d.%d", 1+rand.IntN(250), 1+rand.IntN(250))} // other runs have others
}

// center is where the test itself is.
func (n *network) center() string { return n.subnet + ".1" }

// host is one machine.
type host struct {
	name, address string
	network       *network
}

func (n *network) host(name string) *host {
	n.t.Helper()
	n.hosts++
	h := &host{name: name, address: fmt.Sprintf("%s.%d", n.subnet, 10+n.hosts), network: n}
	if !n.real {
		return h
	}
	outside := "to-" + name
	for _, args := range [][]string{
		{"netns", "add", name},
		{"link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", name},
		{"link", "set", outside, "master", "bridge", "up"},
		{"-n", name, "addr", "add", h.address + "/24", "dev", "eth0"},
		{"-n", name, "link", "set", "lo", "up"},
		{"-n", name, "link", "set", "eth0", "up"},
	} {
		if err := ip(args...); err != nil {
			n.t.Fatal(err)
		}
	}
	return h
}

// cable connects the host, or cuts it off: packets vanish, and nobody is told. It is for hosts that are real.
func (h *host) cable(t testing.TB, state string) {
	t.Helper()
	if err := ip("-n", h.name, "link", "set", "eth0", state); err != nil {
		t.Fatal(err)
	}
}

// command runs a program on the host, with env and nothing of the test's own environment but where programs and caches are.
func (h *host) command(env []string, program string, args ...string) *exec.Cmd {
	if h.network.real {
		args = append([]string{"--net=" + filepath.Join("/run/netns", h.name), "--", program}, args...)
		program = "nsenter"
	}
	cmd := exec.Command(program, args...) //nolint:noctx // it outlives contexts: the test kills it
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "PDFMILL_CACHE"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	return cmd
}
