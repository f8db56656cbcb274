##@ Develop

.PHONY: generate manifests verify lint
generate: $(call tools,controller-gen crd-ref-docs) ## Write deep copies and docs/api.md
	hack/generate.sh code

manifests: $(call tools,controller-gen helm) ## Write CRDs and RBAC, and what chart and config hold of them
	hack/generate.sh manifests

verify: $(call tools,controller-gen crd-ref-docs helm kustomize) ## Fail if anything generated, formatted or tidied differs
	@hack/verify.sh

lint: $(call tools,golangci-lint) ## Go by golangci-lint, scripts by shellcheck
	@hack/lint.sh
