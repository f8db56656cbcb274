##@ Run

.PHONY: demo
demo: deps-run ## From nothing to patterns that serve, shown step by step: rooms, jobs, uploads, shards
	hack/demo.sh

##@ Test

.PHONY: test test-unit test-s3-minio test-rooms fuzz test-browser test-chart test-integration test-laws test-cluster test-e2e bench deps deps-run
test: ## Everything below, ending in a summary
	@hack/test.sh

deps: ## Install the Debian packages that this machine lacks
	@hack/deps.sh

deps-run: ## Of them only those that a cluster needs: no browser, no engine
	@hack/deps.sh run

test-unit: $(call tools,gotestsum) ## Plans, contracts, policies, and the embedded cluster's own tests
	hack/gotest.sh test-unit -race -timeout=20m $$(go list ./... | grep -vE "/test/(integration|e2e)")
	cd hack/cluster && ../gotest.sh test-unit-cluster ./...

test-browser: $(call tools,gotestsum) ## What runs in browsers, in a real Chromium against real planes
	hack/gotest.sh test-browser -count=1 -timeout=10m -parallel=4 -tags=browser ./test/browser/... ./examples/video-platform

test-s3-minio: $(call tools,gotestsum) ## What speaks S3, against a MinIO as others run one, which is built at first
	TRELLIS_TEST_STORE=minio hack/gotest.sh test-s3-minio -count=1 -race -timeout=20m ./internal/plane/blobs/...
	TRELLIS_TEST_STORE=minio hack/gotest.sh test-s3-minio-engine -count=1 -race -timeout=20m -run='^TestS3(Features|Check)$$' \
	  ./internal/plane/account ./controllers/engine

test-rooms: $(call tools,gotestsum) ## Rooms with owners, as long as takes minutes: killed and paused ROOMS=500 KILLS=12, all suites with Sentinels
	TRELLIS_ROOMS=$${ROOMS:-500} TRELLIS_KILLS=$${KILLS:-12} hack/gotest.sh test-rooms -count=1 -timeout=30m -tags=rooms \
	  -run='^(TestOwnersKilled|TestConformanceStatefulOnSentinel)$$' ./internal/plane/realtime

fuzz: ## What is read from strangers, with inputs made up: FUZZTIME=20000x or 1m for each target
	hack/fuzz.sh

test-chart: $(call tools,helm helm-unittest) ## The chart, linted, rendered and tested
	hack/chart-test.sh

test-integration: bin/trellis-cluster $(call tools,gotestsum) ## Against a real kube-apiserver and etcd
	KUBEBUILDER_ASSETS="$$(bin/trellis-cluster envtest-assets)" \
	  hack/gotest.sh test-integration -count=1 -timeout=20m -tags=integration ./test/integration/...

test-cluster: $(call tools,gotestsum) ## The embedded cluster itself: boot, crash, and what it leaves behind
	cd hack/cluster && ../gotest.sh test-cluster -count=1 -timeout=20m -tags=cluster ./e2e/...

test-laws: bin/trellis-cluster $(call tools,gotestsum) ## The laws over every example, which takes long; RUN=<pattern> for some
	KUBEBUILDER_ASSETS="$$(bin/trellis-cluster envtest-assets)" LAWS=all \
	  hack/gotest.sh test-laws -count=1 -timeout=90m -tags=integration -run='$(value RUN)' ./test/integration/laws

test-e2e: images $(call tools,gotestsum helm) ## On a cluster of two nodes, with real pods and engines
	hack/e2e.sh

bench: bin/trellis-cluster ## Against the bare library and a bare client: BENCH=part,…, BENCH_SHORT=1, BENCH_ARGS
	hack/bench.sh
