#!/usr/bin/env bash
# Release archives: deploy/dist.sh VERSION FOLDER [OS/ARCH ...], this machine's platform by default, and SHA256SUMS of all archives of the version. From the same sources,
# the same Go and the same C compilers it makes the same bytes, wherever the checkout lies. CYCLONEDX_PY names cyclonedx-py, which lists what the Python environments are made of; without it that
# is installed for the while. PROGRAMS names those that go in, all by default; licences are those of all.
set -euo pipefail
version=$1 out=$2
shift 2
cd "$(dirname "$0")/.."
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Nothing of this shell gets into the binaries. SOURCE_DATE_EPOCH is the time of all files, by default that of the commit.
unset GOFLAGS CC CGO_CPPFLAGS CGO_CXXFLAGS CGO_LDFLAGS
export CGO_CFLAGS='-O2 -g -Wno-deprecated-declarations' GOAMD64=v1 GOARM64=v8.0 LC_ALL=C TZ=UTC
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
host=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
all='pdfmill pdfmill-ingest pdfmill-validator pdfmill-gpu-runner pdfmill-publisher'
programs=${PROGRAMS:-$all}

# folder prints where the main of a program is.
folder() { case $1 in pdfmill) echo ./cmd/pdfmill ;; *) echo "./services/${1#pdfmill-}/cmd/${1#pdfmill-}" ;; esac; }

# compiler prints the C compiler for a platform: Debian's names, where it isn't this machine's own.
compiler() {
  local cc=cc
  [ "$1" = "$host" ] || case $1 in
    linux/amd64) cc=x86_64-linux-gnu-gcc ;;
    linux/arm64) cc=aarch64-linux-gnu-gcc ;;
  esac
  command -v "$cc" >/dev/null || { package=gcc-${cc%-gcc} && echo "$1 needs the C compiler $cc (Debian: ${package//_/-})" >&2; return 1; }
  echo "$cc"
}

# linked names the modules in a program: path, version and folder of each; with cgo, which Go leaves out for another architecture.
linked() { CGO_ENABLED=1 go list -deps -f '{{with .Module}}{{if not .Main}}{{with .Replace}}{{.Path}} {{.Version}} {{.Dir}}{{else}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}{{end}}' "$1"; }

# licences copies what the licences of others want to be passed on, and refuses what has none.
licences() {
  local program module release dir
  mkdir -p "$1/go" && cp "$(go env GOROOT)/LICENSE" "$1/go/LICENSE"
  cp -r deploy/licences/. "$1"
  for program in $all; do linked "$(folder "$program")"; done | sort -u | while read -r module release dir; do
    mkdir -p "$1/$module@$release"
    find "$dir" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'unlicense*' -o -iname 'copying*' -o -iname 'notice*' -o -iname 'patents*' \) -exec cp {} "$1/$module@$release" \;
    rmdir "$1/$module@$release" 2>/dev/null && { echo "$module $release has no licence in it" >&2; return 1; }
    true
  done
}

# sbom writes what is in each program, and what the runner's Python environments are made of, as CycloneDX.
sbom() {
  local program lock part
  mkdir -p "$2"
  for program in $programs; do
    "$work/cyclonedx-gomod" bin -json -std -noserial -notimestamp -version "$version" -output "$2/$program.json" "$1/$program" 2>"$work/log" || { cat "$work/log" >&2; return 1; }
  done
  for lock in runner-py/requirements*.lock; do
    part=$(basename "$lock" .lock)
    "$CYCLONEDX_PY" requirements --output-reproducible -o "$2/runner-py${part#requirements}.json" "$lock" 2>"$work/log" || { cat "$work/log" >&2; return 1; }
  done
}

# archive makes that of one platform. What loads NVIDIA's library is linked with the C library, which only Linux needs; everything else stands alone.
archive() {
  local GOOS=${1%/*} GOARCH=${1#*/} name dir program CC=''
  export GOOS GOARCH CC
  name=pdfmill_${version}_${GOOS}_$GOARCH dir=$work/$name
  [ "$GOOS" != linux ] || CC=$(compiler "$1")
  mkdir "$dir"
  licences "$dir/licences"
  for program in $programs; do
    local cgo=0
    case $GOOS/$program in linux/pdfmill | linux/pdfmill-gpu-runner) cgo=1 ;; esac
    CGO_ENABLED=$cgo go build -trimpath -buildvcs=false -ldflags "-s -w -X github.com/pdfmill/pdfmill/pipeline/lifecycle.Version=$version" -o "$dir/$program" "$(folder "$program")"
  done
  cp LICENSE README.md ARCHITECTURE.md "$dir"
  mkdir "$dir/docs" && cp docs/*.md docs/*.yaml docs/*.svg "$dir/docs"
  mkdir "$dir/deploy" && cp -r deploy/nomad deploy/systemd "$dir/deploy"
  sbom "$dir" "$dir/sbom"
  tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$epoch" --format=ustar -C "$work" -cf - "$name" | gzip -9n > "$out/$name.tar.gz"
  rm -rf "$dir"
  echo "$out/$name.tar.gz"
}

if [ -z "${CYCLONEDX_PY:-}" ]; then
  "${PYTHON:-python3}" -m venv "$work/python" && "$work/python/bin/pip" install -q cyclonedx-bom==7.5.0
  CYCLONEDX_PY=$work/python/bin/cyclonedx-py
fi
GOWORK=off GOBIN=$work go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
[ $# -gt 0 ] || set -- "$(go env GOOS)/$(go env GOARCH)"
for platform in "$@"; do archive "$platform"; done
(cd "$out" && sha256sum "pdfmill_${version}_"*.tar.gz > SHA256SUMS)
