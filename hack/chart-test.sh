#!/usr/bin/env bash
# Lints the chart, renders it with every set of values in its folder ci/ and
# runs its unit tests. Helm 4 lints and renders; helm-unittest carries Helm 3's
# engine, so both are held.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
chart=charts/trellis
report=dist/test/test-chart
mkdir -p dist/test

for values in "$chart/values.yaml" "$chart"/ci/*-values.yaml; do
  echo "chart: $(basename "$values")"
  bin/tools/helm lint --strict --quiet "$chart" --values "$values"
  bin/tools/helm template trellis "$chart" --namespace trellis-system --values "$values" >/dev/null
done

rc=0
bin/tools/helm-unittest --strict --output-type JUnit --output-file "$report.xml" "$chart" || rc=$?
# The sums of all suites, for hack/test.sh.
awk -F'"' '
  /<testsuite / { for (i = 1; i < NF; i += 2) { n = $i; sub(/.* /, "", n); sum[n] += $(i + 1) } }
  END {
    bad = sum["failures="] + sum["errors="]
    print "passed", sum["tests="] - bad - sum["skipped="]
    print "failed", bad + 0
    print "skipped", sum["skipped="] + 0
  }' "$report.xml" >"$report.counts"
exit "$rc"
