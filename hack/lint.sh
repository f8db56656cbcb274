#!/usr/bin/env bash
# Lints Go (every module of ours, by the one .golangci.yml) and shell scripts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source hack/lib.sh
failed=0

for dir in . hack/cluster; do
  [[ -f $dir/go.mod ]] || continue
  say "lint: golangci-lint in $dir"
  (cd "$dir" && "$OLDPWD/bin/tools/golangci-lint" run --config "$OLDPWD/.golangci.yml" ./...) || failed=1
done

say "lint: shellcheck"
git ls-files -co --exclude-standard '*.sh' .ci/run | xargs -r shellcheck -x || failed=1
((failed == 0)) && say "lint: ok"
