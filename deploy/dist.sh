#!/usr/bin/env bash
# The release archive of one platform: deploy/dist.sh VERSION FOLDER. The platform is Go's: GOOS and GOARCH, this machine's by default. From the same sources, the same Go and
# the same C compiler it makes the same bytes, wherever the checkout lies.
set -euo pipefail
version=$1 out=$2
cd "$(dirname "$0")/.."
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
name=pdfmill_${version}_$(go env GOOS)_$(go env GOARCH)
mkdir "$work/$name"
build() { go build -trimpath -buildvcs=false -ldflags "-s -w -X github.com/pdfmill/pdfmill/pipeline/lifecycle.Version=$version" -o "$work/$name/$1" "$2"; }
build pdfmill ./cmd/pdfmill
for service in ingest validator gpu-runner publisher; do
  build "pdfmill-$service" "./services/$service/cmd/$service"
done
cp LICENSE README.md "$work/$name"
tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$(git log -1 --format=%ct)" --format=ustar -C "$work" -cf - "$name" | gzip -9n > "$out/$name.tar.gz"
(cd "$out" && sha256sum "pdfmill_${version}_"*.tar.gz > SHA256SUMS)
echo "$out/$name.tar.gz"
