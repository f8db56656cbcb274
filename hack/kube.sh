#!/usr/bin/env bash
# One way to three kinds of cluster, chosen by CLUSTER: embedded (built here from
# source), kind (where Docker is), current (the one that kubectl points at, which
# is neither made nor removed here).
#   hack/kube.sh up NAME [NODES]
#   hack/kube.sh load NAME TAR…
#   hack/kube.sh kubeconfig NAME    prints the file's path
#   hack/kube.sh kubectl NAME       prints the path of a kubectl of its version
#   hack/kube.sh forward NAME NAMESPACE/SERVICE PORT    prints a loopback address that leads there
#   hack/kube.sh down NAME
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source hack/lib.sh
cluster=${CLUSTER:-embedded}
verb=${1:?up, load, kubeconfig, kubectl, forward or down}
name=${2:?the name of the cluster}
shift 2

embedded() {
  case $verb in
    up) bin/trellis-cluster up --name "$name" --nodes "${1:-1}" ;;
    load) bin/trellis-cluster load --name "$name" "$@" ;;
    kubeconfig) bin/trellis-cluster kubeconfig --name "$name" --path ;;
    kubectl) echo "$(bin/trellis-cluster envtest-assets)/kubectl" ;;
    forward) bin/trellis-cluster forward --name "$name" "$@" ;;
    down) bin/trellis-cluster down --name "$name" ;;
  esac
}

# kindConfig prints a cluster of $1 nodes.
kindConfig() {
  printf 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n- role: control-plane\n'
  local i
  for ((i = 1; i < $1; i++)); do printf -- '- role: worker\n'; done
}

kind() {
  local kind=bin/tools/kind config=$PWD/dist/kind-$name.kubeconfig tar
  command -v docker >/dev/null || die "CLUSTER=kind needs Docker; CLUSTER=embedded does not"
  hack/tools/build.sh kind
  mkdir -p dist
  case $verb in
    up) kindConfig "${1:-1}" | "$kind" create cluster --name "$name" --config - --kubeconfig "$config" --wait 5m ;;
    load) for tar in "$@"; do "$kind" load image-archive --name "$name" "$tar"; done ;;
    kubeconfig) echo "$config" ;;
    kubectl) command -v kubectl ;;
    forward) portForward "$@" ;;
    down) "$kind" delete cluster --name "$name" --kubeconfig "$config" ;;
  esac
}

# portForward leads a free loopback port to one pod of $1 (NAMESPACE/SERVICE), port
# $2, for as long as that pod lives, and an hour at the most.
portForward() {
  local log
  log=$(mktemp)
  timeout 3600 kubectl -n "${1%/*}" port-forward "service/${1#*/}" ":$2" >"$log" 2>&1 &
  for _ in {1..100}; do
    if grep -om1 '127.0.0.1:[0-9]*' "$log"; then return 0; fi
    sleep 0.1
  done
  die "no answer from $1: $(cat "$log")"
}

current() {
  case $verb in
    up) kubectl version >/dev/null || die "kubectl reaches no cluster" ;;
    load) say "kube: this cluster pulls its images itself: push $* where it can" ;;
    kubeconfig) echo "${KUBECONFIG:-$HOME/.kube/config}" ;;
    kubectl) command -v kubectl ;;
    forward) portForward "$@" ;;
    down) say "kube: left as it is: this cluster was not made here" ;;
  esac
}

case $verb:$cluster in
  up:* | load:* | kubeconfig:* | kubectl:* | forward:* | down:*) ;;
  *) die "there is no verb $verb" ;;
esac
case $cluster in
  embedded | kind | current) "$cluster" "$@" ;;
  *) die "CLUSTER is embedded, kind or current, not $cluster" ;;
esac
