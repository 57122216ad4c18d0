#!/bin/sh
# Runs the tests of control groups on a kernel of its own that has version 2 with its controllers: user-mode Linux, a program (Debian's package user-mode-linux).
# The machine's own kernel may have version 1. The kernel sees this machine's files, read-only.
set -eu
cd "$(dirname "$0")/.."
linux=$(command -v linux.uml || command -v linux) || { echo "user-mode-linux.sh: there is no user-mode Linux here: apt-get install user-mode-linux" >&2; exit 1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for package in cgroup supervise; do
	CGO_ENABLED=0 go test -c -o "$dir/$package.test" "./$package"
done
cat >"$dir/init" <<END
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t cgroup2 none /sys/fs/cgroup
echo "Linux \$(uname -r), controllers: \$(cat /sys/fs/cgroup/cgroup.controllers)"
cd /run
"$dir/cgroup.test" -test.v && "$dir/supervise.test" -test.v -test.run 'Kernels|Stray|KilledService' && echo "control groups of version 2: all is well"
halt -f
END
chmod 700 "$dir/init"
TMPDIR=$dir "$linux" mem=2G root=/dev/root rootfstype=hostfs ro "init=$dir/init" con0=fd:0,fd:1 con=null quiet </dev/null 2>&1 | tee "$dir/log"
grep -q 'version 2: all is well' "$dir/log"
