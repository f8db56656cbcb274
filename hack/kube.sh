#!/usr/bin/env bash
# One way to three kinds of cluster, chosen by CLUSTER: embedded (built here from
# source), kind (where Docker is), current (the one that kubectl points at, which
# is neither made nor removed here).
#   hack/kube.sh up NAME [NODES]
#   hack/kube.sh load NAME TAR…
#   hack/kube.sh kubeconfig NAME    prints the file's path
#   hack/kube.sh kubectl NAME       prints the path of a kubectl of its version
#   hack/kube.sh down NAME
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source hack/lib.sh
cluster=${CLUSTER:-embedded}
verb=${1:?up, load, kubeconfig, kubectl or down}
name=${2:?the name of the cluster}
shift 2

embedded() {
  case $verb in
    up) bin/trellis-cluster up --name "$name" --nodes "${1:-1}" ;;
    load) bin/trellis-cluster load --name "$name" "$@" ;;
    kubeconfig) bin/trellis-cluster kubeconfig --name "$name" --path ;;
    kubectl) echo "$(bin/trellis-cluster envtest-assets)/kubectl" ;;
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
    down) "$kind" delete cluster --name "$name" --kubeconfig "$config" ;;
  esac
}

current() {
  case $verb in
    up) kubectl version >/dev/null || die "kubectl reaches no cluster" ;;
    load) say "kube: this cluster pulls its images itself: push $* where it can" ;;
    kubeconfig) echo "${KUBECONFIG:-$HOME/.kube/config}" ;;
    kubectl) command -v kubectl ;;
    down) say "kube: left as it is: this cluster was not made here" ;;
  esac
}

case $verb:$cluster in
  up:* | load:* | kubeconfig:* | kubectl:* | down:*) ;;
  *) die "there is no verb $verb" ;;
esac
case $cluster in
  embedded | kind | current) "$cluster" "$@" ;;
  *) die "CLUSTER is embedded, kind or current, not $cluster" ;;
esac
