#!/usr/bin/env bash
# From nothing to a served RealtimeGateway, a JobQueue, a pipeline of three patterns and counters that grow, shown step by step. The
# cluster stays, to be looked at; after a failure or an interrupt it is taken down (KEEP=1 keeps it).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source hack/lib.sh
name=${DEMO_NAME:-trellis-demo}
namespace=demo
done=

cleanup() {
  local rc=$?
  trap '' INT TERM
  if [[ -z $done ]]; then
    say "demo: it failed; what there is to see:"
    hack/diagnose.sh || true
    if [[ ${KEEP:-} == 1 ]]; then
      say "demo: cluster $name is left standing"
    else
      hack/kube.sh down "$name" || true
    fi
  fi
  exit "$rc"
}
trap cleanup EXIT
trap 'exit 143' INT TERM

# step prints a heading and remembers how long the step before took.
steps=() began=$SECONDS title=
step() {
  if [[ -n $title ]]; then steps+=("$(printf '%5ds  %s' $((SECONDS - began)) "$title")"); fi
  title=$1 began=$SECONDS
  if [[ -t 1 ]]; then printf '\n\033[1m== %s\033[0m\n' "$title"; else printf '\n== %s\n' "$title"; fi
}

# show runs a command and prints it first, as a user would type it.
show() {
  printf '\n$ %s\n' "$*"
  "$@"
}

# exchange publishes to the gateway and shows what its clients get.
exchange() {
  TRELLIS_URL=http://$(hack/kube.sh forward "$name" "$namespace/$gateway-rtg" 80)
  export TRELLIS_URL
  printf '\n  %s answers at %s; its token is in the Secret %s\n\n' "$gateway" "$TRELLIS_URL" "$binding"
  supervised go run ./hack/demo
}

step "Build the operator, the plane, the plugin, and the cluster's own tools"
supervised make bin/trellis-operator bin/trellis-plane bin/trellis-runner bin/kubectl-trellis bin/trellis-cluster bin/example-counter bin/tools/helm

step "Boot a Kubernetes cluster ($CLUSTER)"
supervised hack/kube.sh up "$name" "${NODES:-1}"
KUBECONFIG=$(hack/kube.sh kubeconfig "$name")
PATH=$PWD/bin:$(dirname "$(hack/kube.sh kubectl "$name")"):$PATH
export KUBECONFIG PATH

step "Assemble the images and load them"
supervised hack/images.sh "$VERSION"
supervised hack/kube.sh load "$name" dist/images/*.tar

step "Install Trellis by its Helm chart"
supervised hack/install.sh --set defaultClass.plane.playground=Enabled | sed -n '/^NAME\|^STATUS\|^REVISION/p'
show kubectl get patternclasses
show kubectl -n trellis-system get pods

step "Apply the examples"
kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
kubectl label namespace "$namespace" --overwrite pod-security.kubernetes.io/enforce=restricted >/dev/null
show cat examples/valid/realtimegateway-minimal.yaml
show kubectl trellis plan -n "$namespace" -f examples/valid/realtimegateway-redis.yaml
show kubectl apply -n "$namespace" -f examples/valid/realtimegateway-minimal.yaml -f examples/valid/realtimegateway-redis.yaml
show kubectl wait -n "$namespace" --for=condition=Ready --timeout=180s --all realtimegateways
show kubectl get -n "$namespace" patterns,engines,pods,pvc

step "Use the RealtimeGateway: one publisher, four kinds of client"
gateway=$(kubectl get -n "$namespace" -f examples/valid/realtimegateway-redis.yaml -o jsonpath='{.metadata.name}')
binding=$(kubectl get -n "$namespace" "rtg/$gateway" -o jsonpath='{.status.binding.name}')
TRELLIS_TOKEN=$(kubectl get -n "$namespace" "secret/$binding" -o jsonpath='{.data.token}' | base64 -d)
export TRELLIS_TOKEN
exchange

step "Make reports: a JobQueue without a worker at rest"
show kubectl apply -n "$namespace" -f examples/report-queue/jobqueue.yaml
show kubectl wait -n "$namespace" --for=condition=Ready --timeout=180s jq/reports
workers=patterns.trellis.dev/name=reports,app.kubernetes.io/component=worker
# After a run before this one, its last worker may not be gone yet.
kubectl wait -n "$namespace" --for=delete --timeout=60s pods -l "$workers" >/dev/null
show kubectl get -n "$namespace" jq/reports
queue_binding=$(kubectl get -n "$namespace" jq/reports -o jsonpath='{.status.binding.name}')
TRELLIS_QUEUE_URL=http://$(hack/kube.sh forward "$name" "$namespace/reports-jq" 80)
TRELLIS_QUEUE_TOKEN=$(kubectl get -n "$namespace" "secret/$queue_binding" -o jsonpath='{.data.token}' | base64 -d)
export TRELLIS_QUEUE_URL TRELLIS_QUEUE_TOKEN
printf '\n  reports answers at %s; its token is in the Secret %s\n\n' "$TRELLIS_QUEUE_URL" "$queue_binding"
supervised go run ./hack/demo report
show kubectl get -n "$namespace" jq/reports
show kubectl get -n "$namespace" pods -l patterns.trellis.dev/name=reports
show kubectl wait -n "$namespace" --for=delete --timeout=60s pods -l "$workers"
show kubectl get -n "$namespace" jq/reports
show kubectl get -n "$namespace" pods -l patterns.trellis.dev/name=reports

step "A video platform: a bucket, a queue and a gateway in a row"
show kubectl apply -n "$namespace" -f examples/video-platform/gateway.yaml -f examples/video-platform/queue.yaml -f examples/video-platform/bucket.yaml
show kubectl wait -n "$namespace" --for=condition=Ready --timeout=300s rtg/screens jq/transcodes blob/videos
show kubectl trellis tree -n "$namespace" blob/videos
store=$(kubectl get -n "$namespace" secret/videos-blob-account -o jsonpath='{.data.uri}' | base64 -d)
store=${store#*://}
TRELLIS_STORE=$(hack/kube.sh forward "$name" "$namespace/${store%%.*}" "${store##*:}")
TRELLIS_BUCKET_URL=http://$(hack/kube.sh forward "$name" "$namespace/videos-blob" 80)
TRELLIS_BUCKET_TOKEN=$(kubectl get -n "$namespace" secret/videos-blob-binding -o jsonpath='{.data.token}' | base64 -d)
export TRELLIS_STORE TRELLIS_BUCKET_URL TRELLIS_BUCKET_TOKEN
printf '\n  videos answers at %s, its store at %s\n\n' "$TRELLIS_BUCKET_URL" "$TRELLIS_STORE"
TRELLIS_URL=http://$(hack/kube.sh forward "$name" "$namespace/screens-rtg" 80) \
  TRELLIS_TOKEN=$(kubectl get -n "$namespace" secret/screens-rtg-binding -o jsonpath='{.data.token}' | base64 -d) \
  supervised go run ./hack/demo video
show kubectl get -n "$namespace" blob/videos jq/transcodes

step "Sharded counters, grown while they count"
show kubectl apply -n "$namespace" -f examples/sharded-counter/shardset.yaml
show kubectl wait -n "$namespace" --for=condition=Ready --timeout=180s shs/counters
TRELLIS_URL=http://$(hack/kube.sh forward "$name" "$namespace/counters-shs" 80) \
  TRELLIS_TOKEN=$(kubectl get -n "$namespace" secret/counters-shs-binding -o jsonpath='{.data.token}' | base64 -d) \
  supervised go run ./hack/demo count 2 kubectl scale -n "$namespace" shs/counters --replicas=3
show kubectl get -n "$namespace" shs/counters

step "Kill a pod, and publish again"
pod=$(kubectl get -n "$namespace" pods -l "patterns.trellis.dev/name=$gateway" -o jsonpath='{.items[0].metadata.name}')
show kubectl delete -n "$namespace" pod "$pod" --grace-period=0 --force 2>/dev/null
exchange
show kubectl wait -n "$namespace" --for=condition=Ready --timeout=180s "rtg/$gateway"

step "Done"
done=1
echo "What took how long:"
printf '  %s\n' "${steps[@]}"
printf '  %5ds  in all\n' "$SECONDS"
cat <<EOF

Look around:
  export KUBECONFIG=$KUBECONFIG PATH=$PWD/bin:$(dirname "$(command -v kubectl)"):\$PATH
  kubectl get patterns -A
  kubectl describe rtg -n $namespace $gateway
  kubectl describe jq -n $namespace reports
  kubectl trellis tree -n $namespace blob/videos
  kubectl scale -n $namespace shs/counters --replicas=2
  curl -H "Authorization: Bearer \$TOKEN" $TRELLIS_QUEUE_URL/v1/stats
  curl $TRELLIS_URL/openapi.json
Try rooms by hand, with the token of the binding:
  $TRELLIS_URL/
  kubectl get secret -n $namespace $binding -o jsonpath='{.data.token}' | base64 -d
Read on:
  docs/patterns/realtimegateway.md
  examples/video-platform/README.md
  examples/sharded-counter/README.md
Clean up:
  make cluster-down NAME=$name
EOF
