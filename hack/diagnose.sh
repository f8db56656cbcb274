#!/usr/bin/env bash
# Shows what one would look at first in the cluster of KUBECONFIG after a
# failure: nodes, pods, patterns, events, and what the operator said. Prints no
# Secret.
set -uo pipefail
# Without one kubectl would look into some other cluster.
[[ -n ${KUBECONFIG:-} ]] || exit 0

show() {
  printf '\n--- kubectl %s\n' "$*"
  timeout 20 kubectl "$@" 2>&1 | tail -n 80
}

show get nodes -o wide
show get pods -A -o wide
show get patternclasses,engines,realtimegateways -A
show get events -A --sort-by=.lastTimestamp
# Of every operator: the one that leads has the most to say.
show -n trellis-system logs --selector=app.kubernetes.io/component=operator --prefix --tail=40
show -n trellis-system logs --selector=app.kubernetes.io/component=operator --prefix --tail=40 --previous
