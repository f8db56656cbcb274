#!/usr/bin/env bash
# Runs Go tests and leaves what hack/test.sh counts in dist/test/NAME.json.
#   hack/gotest.sh NAME [go test's arguments]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name=$1
shift
mkdir -p "$root/dist/test"
exec "$root/bin/tools/gotestsum" --format "${TEST_FORMAT:-pkgname}" --format-hide-empty-pkg --hide-summary=skipped \
  --jsonfile "$root/dist/test/$name.json" --junitfile "$root/dist/test/$name.xml" -- "$@"
