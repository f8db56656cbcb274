#!/usr/bin/env bash
# Fails when something that is generated, formatted or tidied differs from what
# the tools would write. Generated files are left as the tools wrote them, so
# that a second run passes and the difference can be committed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source hack/lib.sh

generated=(api config docs/api.md charts/trellis/Chart.yaml charts/trellis/files)
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
failed=0

# check runs the command $2… and notes a failure under the name $1.
check() {
  local name=$1
  shift
  say "verify: $name"
  "$@" || { failed=1 && echo "verify: $name failed" >&2; }
}

unchanged() {
  cp -a --parents "${generated[@]}" "$before"
  make --no-print-directory generate manifests
  local path rc=0
  for path in "${generated[@]}"; do
    diff -ru "$before/$path" "$path" || rc=1
  done
  ((rc == 0)) || echo "verify: the difference above is now written: look at it and commit it" >&2
  return "$rc"
}

formatted() {
  local bad
  bad=$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l)
  [[ -z $bad ]] || { echo "verify: run 'gofmt -w' on:" "$bad" >&2 && return 1; }
}

# tidy looks at the modules that hold code of ours; those of hack/tools pin one tool each.
tidy() {
  local dir rc=0
  for dir in . hack/cluster; do
    [[ ! -f $dir/go.mod ]] || go -C "$dir" mod tidy -diff || rc=1
  done
  return "$rc"
}

builds() {
  local dir
  for dir in config/*/; do
    bin/tools/kustomize build "$dir" >/dev/null || return 1
  done
}

check "generated files" unchanged
check "gofmt" formatted
check "go mod tidy" tidy
check "kustomize build" builds
((failed == 0)) && say "verify: ok"
