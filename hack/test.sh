#!/usr/bin/env bash
# Runs the stages of the test, the quick ones first, and ends in a summary. A
# stage is the make target of its name; a failed one does not keep the others
# from running, unless FAIL_FAST=1. Exits 1 if any failed.
#   hack/test.sh [STAGE…]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source hack/lib.sh

# The embedded cluster's own tests say nothing of another one.
own=(test-cluster)
[[ ${CLUSTER:-embedded} == embedded ]] || own=()
stages=("$@")
((${#stages[@]} > 0)) || stages=(deps test-unit test-s3-minio fuzz test-browser test-chart verify lint test-integration "${own[@]}" test-e2e)
declare -A result seconds
failures=0

# ends says how each test in the files $@ ended, a line each: pass, fail, skip or
# flaky, and its name. One that was run more than once ends as its last run did,
# and is flaky if that passed and another failed.
ends() {
  jq -rs '[.[] | select(.Test and (.Action | IN("pass", "fail", "skip")))] | group_by([.Package, .Test]) | .[]
    | "\(if .[-1].Action == "pass" and any(.[]; .Action == "fail") then "flaky" else .[-1].Action end) \(.[0].Package) \(.[0].Test)"' "$@"
}

# count prints how many tests of stage $1 passed, failed, were skipped and are
# flaky, from go test's events and from the chart's report.
count() {
  local files=(dist/test/"$1"*.json)
  if [[ -f ${files[0]} ]]; then
    ends "${files[@]}" | awk '{n[$1]++} END {printf "%d\t%d\t%d\t%d\n", n["pass"] + n["flaky"], n["fail"], n["skip"], n["flaky"]}'
  elif [[ -f dist/test/$1.counts ]]; then
    { sed -n 's/^\(passed\|failed\|skipped\) //p' "dist/test/$1.counts" && echo 0; } | paste -s
  else
    printf -- '-\t-\t-\t-\n'
  fi
}

# flaky names the tests that failed and passed when they were run again: a green
# run says nothing of them, and each wants a cause.
flaky() {
  local stage files=()
  for stage in "${!seconds[@]}"; do
    mapfile -t -O "${#files[@]}" files < <(compgen -G "dist/test/$stage*.json" || true)
  done
  ((${#files[@]} == 0)) || ends "${files[@]}" | grep '^flaky ' || true
}

summary() {
  local stage passed failed skipped flaky
  printf '\n%-18s %-12s %8s %8s %8s %8s %8s\n' stage result seconds passed failed skipped flaky
  for stage in "${stages[@]}"; do
    IFS=$'\t' read -r passed failed skipped flaky < <([[ -v seconds[$stage] ]] && count "$stage" || printf -- '-\t-\t-\t-\n')
    printf '%-18s %-12s %8s %8s %8s %8s %8s\n' "$stage" "${result[$stage]:-not run}" "${seconds[$stage]:--}" \
      "$passed" "$failed" "$skipped" "$flaky"
  done
  printf '%-18s %-12s %8s\n\n' all "$( ((failures == 0)) && echo ok || echo FAILED)" "$SECONDS"
  flaky
}

# run runs one stage and notes how it went. An interrupted stage ends the run.
run() {
  local stage=$1 began=$SECONDS rc=0
  printf '\n=== %s\n' "$stage"
  rm -f dist/test/"$stage"*
  supervised make --no-print-directory "$stage" || rc=$?
  seconds[$stage]=$((SECONDS - began))
  case $rc in
    0) result[$stage]=ok && return 0 ;;
    130 | 143) result[$stage]=interrupted ;;
    *) result[$stage]=FAILED ;;
  esac
  failures=$((failures + 1))
  return "$rc"
}

mkdir -p dist/test
trap summary EXIT
for stage in "${stages[@]}"; do
  run "$stage" && continue
  [[ ${result[$stage]} != interrupted ]] || exit 130
  # Without its packages nothing else can be told.
  [[ $stage != deps && ${FAIL_FAST:-} != 1 ]] || break
done
((failures == 0))
