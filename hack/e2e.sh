#!/usr/bin/env bash
# Boots a cluster of two nodes, installs the operator by its chart, runs
# test/e2e against it and takes it down, also after a failure or an interrupt.
# KEEP=1 leaves it standing. Arguments go to go test, e.g. -run TestScale.
# Four tests run at once, or E2E_PARALLEL: more than two cores carry only make each other wait.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source hack/lib.sh
name=${E2E_NAME:-trellis-e2e}
VERSION=${VERSION:-$(cat VERSION)}
export E2E_NAME=$name VERSION CLUSTER=${CLUSTER:-embedded}
began=
ready=

# nextOperator builds an operator of version $1 whose plan of every pod differs
# from this tree's in one field, for the tests to upgrade to.
nextOperator() {
  local dir=dist/next source=controllers/specs/pod.go
  mkdir -p "$dir"
  sed 's/\(EnableServiceLinks: *\)ptr.To(false)/\1ptr.To(true)/' "$source" >"$dir/pod.go.txt"
  ! cmp -s "$source" "$dir/pod.go.txt" || die "the field that makes another operator's plan differ is not in $source any more"
  jq -n --arg from "$PWD/$source" --arg to "$PWD/$dir/pod.go.txt" '{Replace: {($from): $to}}' >"$dir/overlay.json"
  CGO_ENABLED=0 go build -overlay="$dir/overlay.json" -trimpath -buildvcs=false \
    -ldflags="-s -w -X main.version=$1" -o "$dir/trellis-operator" .
  bin/trellis-cluster image --image "ghcr.io/trellis-dev/trellis-operator:$1" \
    --binary "$dir/trellis-operator=/trellis-operator" --out "$dir/trellis-operator.tar"
}

# boot brings the cluster up, and has what the tests need built meanwhile.
boot() {
  local building rc=0
  (
    [[ $CLUSTER == current ]] || nextOperator "$VERSION-next"
    go test -tags=e2e -c -o /dev/null ./test/e2e/...
    go build -o /dev/null ./hack/demo ./cmd/kubectl-trellis
  ) &
  building=$!
  hack/kube.sh up "$name" 2 || rc=$?
  wait "$building" || rc=$?
  return "$rc"
}

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

say "e2e: booting cluster $name, and building tests and an operator of version $VERSION-next"
began=1
# A run that was killed may have left one behind.
hack/kube.sh down "$name"
supervised boot
KUBECONFIG=$(hack/kube.sh kubeconfig "$name")
PATH=$PWD/bin:$(dirname "$(hack/kube.sh kubectl "$name")"):$PATH
export KUBECONFIG PATH
ready=1
say "e2e: loading images"
images=(dist/images/*.tar)
if [[ $CLUSTER != current ]]; then
  export E2E_NEXT_VERSION=$VERSION-next
  images+=(dist/next/trellis-operator.tar)
fi
supervised hack/kube.sh load "$name" "${images[@]}"
say "e2e: installing the chart"
supervised hack/install.sh
say "e2e: running the tests"
supervised hack/gotest.sh test-e2e -count=1 -timeout=40m -parallel="${E2E_PARALLEL:-4}" -tags=e2e ./test/e2e/... "$@"
