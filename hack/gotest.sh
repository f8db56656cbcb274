#!/usr/bin/env bash
# Runs Go tests and leaves what hack/test.sh counts in dist/test/NAME.json. A
# test that fails is run once more by itself, and said to be flaky if it passes
# then: see docs/adr/0036. Not after a data race, a panic or more than three
# failures, and not at all with RERUN=0.
#   hack/gotest.sh NAME [go test's arguments, packages beginning with ./ or the module's path]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name=$1
shift
packages=()
arguments=()
for argument in "$@"; do
  case $argument in
    ./* | github.com/trellis-dev/*) packages+=("$argument") ;;
    *) arguments+=("$argument") ;;
  esac
done
rerun=(--rerun-fails="${RERUN:-1}" --rerun-fails-max-failures=3 --rerun-fails-abort-on-data-race)
[[ ${RERUN:-1} != 0 ]] || rerun=()
mkdir -p "$root/dist/test"
exec "$root/bin/tools/gotestsum" --format "${TEST_FORMAT:-pkgname}" --format-hide-empty-pkg --hide-summary=skipped \
  --jsonfile "$root/dist/test/$name.json" --junitfile "$root/dist/test/$name.xml" "${rerun[@]}" \
  --packages "${packages[*]}" -- "${arguments[@]}"
