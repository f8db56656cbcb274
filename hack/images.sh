#!/usr/bin/env bash
# Assembles the images of operator and plane from bin/, without Docker, into dist/images.
#   hack/images.sh VERSION
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source hack/lib.sh
version=$1
mkdir -p dist/images

for name in operator plane; do
  say "images: trellis-$name:$version"
  bin/trellis-cluster image --image "ghcr.io/trellis-dev/trellis-$name:$version" \
    --binary "bin/trellis-$name=/trellis-$name" --out "dist/images/trellis-$name.tar"
done
