#!/usr/bin/env bash
# Runs the benchmarks, prints a table, and writes its sections of docs/benchmarks.md.
#   BENCH        names of parts, with commas; all by default
#   BENCH_SHORT  1: small and once, in under two minutes, to see that it works; writes no page
#   BENCH_ARGS   more for bin/bench: "-runs 7 -rest 10m -profile"; "-help" lists them
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source hack/lib.sh

[[ -x bin/trellis-cluster ]] || die "run make bench, which builds what it needs"
command -v redis-server >/dev/null || die "redis-server is needed: run make deps"
# Of the parts, one is measured beside other servers, which nothing else needs.
[[ ,${BENCH:-router}, != *,router,* ]] || hack/deps.sh bench
say "bench: build"
go build -o bin/bench ./test/bench
go build -o bin/bench-server ./test/bench/server
KUBEBUILDER_ASSETS=$(bin/trellis-cluster envtest-assets)
export KUBEBUILDER_ASSETS
args=()
[[ ${BENCH_SHORT:-} != 1 ]] || args+=(-short)
[[ -z ${BENCH:-} ]] || args+=(-parts "$BENCH")
read -ra more <<<"${BENCH_ARGS:-}"
exec bin/bench "${args[@]}" "${more[@]}"
