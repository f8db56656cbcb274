#!/usr/bin/env bash
# Boots a cluster of two nodes, installs the operator by its chart, runs
# test/e2e against it and takes it down, also after a failure or an interrupt.
# KEEP=1 leaves it standing. Arguments go to go test, e.g. -run TestScale.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source hack/lib.sh
name=${E2E_NAME:-trellis-e2e}
began=
ready=

# cleanup shows what there is to see after a failure, and takes the cluster down.
cleanup() {
  local rc=$?
  trap '' INT TERM
  if [[ -n $began ]]; then
    # Never without a kubeconfig of our own, and not when somebody is waiting for us to go.
    [[ -z $ready || $rc == 0 || $rc == 143 ]] || hack/diagnose.sh || true
    if [[ ${KEEP:-} == 1 ]]; then
      say "e2e: cluster $name is left standing; its kubeconfig is ${ready:+$KUBECONFIG}"
    else
      say "e2e: taking cluster $name down"
      hack/kube.sh down "$name" || rc=1
    fi
  fi
  exit "$rc"
}
trap cleanup EXIT
trap 'exit 143' INT TERM

say "e2e: booting cluster $name"
began=1
# A run that was killed may have left one behind.
hack/kube.sh down "$name"
supervised hack/kube.sh up "$name" 2
KUBECONFIG=$(hack/kube.sh kubeconfig "$name")
PATH=$PWD/bin:$(dirname "$(hack/kube.sh kubectl "$name")"):$PATH
export KUBECONFIG PATH
ready=1
say "e2e: loading images"
supervised hack/kube.sh load "$name" dist/images/*.tar
say "e2e: installing the chart"
supervised hack/install.sh
say "e2e: running the tests"
supervised hack/gotest.sh test-e2e -count=1 -timeout=30m -tags=e2e ./test/e2e/... "$@"
