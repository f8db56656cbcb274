##@ Run

.PHONY: demo
demo: deps ## From nothing to a served RealtimeGateway, shown step by step
	hack/demo.sh

##@ Test

.PHONY: test test-unit test-chart test-integration test-cluster test-e2e bench deps
test: ## Everything below, ending in a summary
	@hack/test.sh

deps: ## Install the Debian packages that this machine lacks
	@hack/deps.sh

test-unit: $(call tools,gotestsum) ## Plans, contracts, policies, and the embedded cluster's own tests
	hack/gotest.sh test-unit -race $$(go list ./... | grep -vE "/test/(integration|e2e|bench)")
	cd hack/cluster && ../gotest.sh test-unit-cluster ./...

test-chart: $(call tools,helm helm-unittest) ## The chart, linted, rendered and tested
	hack/chart-test.sh

test-integration: bin/trellis-cluster $(call tools,gotestsum) ## Against a real kube-apiserver and etcd
	KUBEBUILDER_ASSETS="$$(bin/trellis-cluster envtest-assets)" \
	  hack/gotest.sh test-integration -count=1 -timeout=20m -tags=integration ./test/integration/...

test-cluster: $(call tools,gotestsum) ## The embedded cluster itself: boot, crash, and what it leaves behind
	cd hack/cluster && ../gotest.sh test-cluster -count=1 -timeout=20m -tags=cluster ./e2e/...

test-e2e: images $(call tools,gotestsum helm) ## On a cluster of two nodes, with real pods and engines
	hack/e2e.sh

bench: ## Ratios against the raw engine or a peer, in one run; writes docs/benchmarks.md
	go test -run='^$$' -bench=. -count=5 -timeout=60m ./test/bench/...
