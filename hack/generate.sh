#!/usr/bin/env bash
# Writes what is generated. `code`: deep copies and docs/api.md, from the types.
# `manifests`: CRDs and RBAC from the types and markers, then what the chart and
# config/ hold of them. Run it by `make generate` and `make manifests`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=bin/tools
crds=config/crd/bases
chart=charts/trellis

code() {
  "$tools/controller-gen" object:headerFile=hack/boilerplate.go.txt paths=./api/...
  "$tools/crd-ref-docs" --source-path=api --config=hack/api-docs/config.yaml --templates-dir=hack/api-docs \
    --renderer=markdown --output-path=docs/api.md --log-level=ERROR
}

# plurals prints the resources whose scope is $1, one a line.
plurals() {
  local file
  for file in "$crds"/*.yaml; do
    grep -q "^  scope: $1\$" "$file" && sed -n 's/^    plural: //p' "$file"
  done
}

# rule prints one rule: $1 the resources, $2 the verbs, each with commas between.
rule() {
  printf '  - apiGroups: [patterns.trellis.dev]\n    resources: [%s]\n    verbs: [%s]\n' "${1//,/, }" "${2//,/, }"
}

# userRules writes what the cluster's own roles gain: all may look, those who
# edit may change patterns, and nobody but a cluster's admin may change a class.
userRules() {
  local kinds subresources write=create,update,patch,delete out=$chart/files/rbac
  kinds=$(plurals Namespaced | paste -sd,)
  subresources=$(grep -l '^      scale:$' "$crds"/*.yaml | xargs sed -n 's/^    plural: \(.*\)/\1\/scale/p' | paste -sd,)
  { echo "rules:" && rule "$kinds${subresources:+,$subresources}" get,list,watch && rule patternclasses get,list,watch; } >"$out/view.yaml"
  { echo "rules:" && rule "$kinds" "$write" && rule "$subresources" get,update,patch; } >"$out/edit.yaml"
  { echo "rules:" && rule "$kinds" "$write,deletecollection" && rule "$subresources" get,update,patch; } >"$out/admin.yaml"
}

# fromChart renders the chart's template $1 for those who install without Helm.
fromChart() {
  "$tools/helm" template trellis "$chart" --namespace trellis-system --api-versions patterns.trellis.dev/v1alpha1/PatternClass \
    --show-only "templates/$1" | sed -e '/^# Source: /d' -e '/managed-by: Helm$/d' -e '/helm\.sh\//d' | cat -s
}

manifests() {
  local version
  version=$(cat VERSION)
  "$tools/controller-gen" crd paths=./api/... "output:crd:dir=$crds"
  "$tools/controller-gen" rbac:roleName=trellis paths=./controllers/... output:rbac:dir=config/rbac

  (cd config/crd && { echo "# Written by \`make manifests\`." && echo "resources:" && printf '  - %s\n' bases/*.yaml; } >kustomization.yaml)

  mkdir -p "$chart/files/crds" "$chart/files/rbac"
  rm -f "$chart"/files/crds/*.yaml "$chart"/files/rbac/*.yaml
  cp "$crds"/*.yaml "$chart/files/crds/"
  sed -n '/^rules:/,$p' config/rbac/role.yaml >"$chart/files/rbac/operator.yaml"
  userRules
  sed -i -e "s/^version: .*/version: ${version#v}/" -e "s/^appVersion: .*/appVersion: $version/" "$chart/Chart.yaml"

  local sample
  while read -r sample; do
    cp "examples/valid/$sample" config/samples/
  done < <(sed -n 's/^  - //p' config/samples/kustomization.yaml)

  fromChart deployment.yaml >config/manager/manager.yaml
  fromChart pdb.yaml >config/manager/pdb.yaml
  fromChart metrics.yaml >config/manager/metrics.yaml
  fromChart serviceaccount.yaml >config/rbac/serviceaccount.yaml
  fromChart rbac-bindings.yaml >config/rbac/bindings.yaml
  fromChart rbac-users.yaml >config/rbac/users.yaml
  fromChart class.yaml >config/class/standard.yaml
}

case ${1:-} in
  code | manifests) "$1" ;;
  *) echo "usage: hack/generate.sh code|manifests" >&2 && exit 2 ;;
esac
