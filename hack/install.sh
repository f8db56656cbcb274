#!/usr/bin/env bash
# Installs or upgrades the operator by its chart in the cluster of KUBECONFIG and
# waits until it serves.
#   hack/install.sh [helm's arguments, e.g. --set defaultClass.limits.maxReplicas=3]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec bin/tools/helm upgrade --install trellis charts/trellis --namespace trellis-system --create-namespace \
  --set "image.tag=${VERSION:-$(cat VERSION)}" --wait --timeout 5m "$@"
