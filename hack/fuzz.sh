#!/usr/bin/env bash
# Runs each fuzz target for FUZZTIME: a count of inputs such as 20000x, or a time such as 1m.
# What a target finds is left in testdata/fuzz beside it: commit it with the mend.
#   hack/fuzz.sh [PACKAGE…]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source hack/lib.sh

# A count and not a time: it means the same on a busy machine.
fuzztime=${FUZZTIME:-20000x}
packages=("$@")
((${#packages[@]} > 0)) || packages=(./internal/plane/realtime ./internal/plane/jobs ./internal/plane/blobs ./pkg/ring ./internal/plane/httphead ./internal/plane/shards/router)
targets=0
for package in "${packages[@]}"; do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz'); do
    say "fuzz: $target for $fuzztime"
    go test -run='^$' -fuzz="^$target\$" -fuzztime="$fuzztime" -parallel=2 "$package"
    targets=$((targets + 1))
  done
done
((targets > 0)) || { echo "fuzz: no targets in ${packages[*]}" >&2; exit 1; }
say "fuzz: $targets targets ok"
