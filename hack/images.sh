#!/usr/bin/env bash
# Assembles the images of operator and plane from bin/, and those of examples, without Docker, into dist/images.
#   hack/images.sh VERSION
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source hack/lib.sh
version=$1
mkdir -p dist/images

# image NAME BINARY… has the first one as its entrypoint, all at the root.
image() {
  local name=$1 binary args=()
  shift
  for binary; do args+=(--binary "bin/$binary=/$binary"); done
  say "images: trellis-$name:$version"
  bin/trellis-cluster image --image "ghcr.io/trellis-dev/trellis-$name:$version" "${args[@]}" --out "dist/images/trellis-$name.tar"
}

image operator trellis-operator
# The runner is copied from there into the pods of workers.
image plane trellis-plane trellis-runner
say "images: those of examples"
rm -f dist/images/example-*
bin/trellis-cluster image --image ghcr.io/trellis-dev/example-counter:1 --binary bin/example-counter=/counter --out dist/images/example-counter.tar
# Those are large, and stay in the cache.
bin/trellis-cluster example-images | while read -r tar; do ln -s "$tar" "dist/images/example-$(basename "$tar")"; done
