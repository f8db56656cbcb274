##@ Build

# Static, and the same bytes wherever they are built.
build_flags := -trimpath -buildvcs=false -ldflags='-s -w -X main.version=$(VERSION)'

.PHONY: build images clean bin/trellis-operator bin/trellis-plane bin/kubectl-trellis bin/trellis-cluster
build: bin/trellis-operator bin/trellis-plane bin/kubectl-trellis ## Operator, plane and kubectl plugin, into bin/

bin/trellis-operator:
	CGO_ENABLED=0 go build $(build_flags) -o $@ .

bin/trellis-plane bin/kubectl-trellis:
	CGO_ENABLED=0 go build $(build_flags) -o $@ ./cmd/$(@F)

bin/trellis-cluster:
	CGO_ENABLED=0 go -C hack/cluster build -trimpath -buildvcs=false -o $(CURDIR)/$@ .

images: bin/trellis-operator bin/trellis-plane bin/trellis-cluster ## Images of operator and plane, without Docker, into dist/images
	hack/images.sh $(VERSION)

clean: ## Remove what was built here; caches stay
	rm -rf bin dist
