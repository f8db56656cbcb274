##@ Build

# Static, and the same bytes wherever they are built.
build_flags = -trimpath -buildvcs=false -ldflags='-s -w -X $(version_variable)=$(VERSION)'
# Where an executable keeps its version; those with a package app keep it there.
version_variable = main.version
bin/trellis-plane bin/trellis-runner: version_variable = github.com/trellis-dev/trellis/cmd/$(@F)/app.Version

.PHONY: build images clean bin/trellis-operator bin/trellis-plane bin/trellis-runner bin/kubectl-trellis bin/trellis-cluster bin/example-counter
build: bin/trellis-operator bin/trellis-plane bin/trellis-runner bin/kubectl-trellis ## Operator, plane, runner and kubectl plugin, into bin/

bin/trellis-operator:
	CGO_ENABLED=0 go build $(build_flags) -o $@ .

bin/trellis-plane bin/trellis-runner bin/kubectl-trellis:
	CGO_ENABLED=0 go build $(build_flags) -o $@ ./cmd/$(@F)

bin/trellis-cluster:
	CGO_ENABLED=0 go -C hack/cluster build -trimpath -buildvcs=false -o $(CURDIR)/$@ .

bin/example-counter:
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w' -o $@ ./examples/sharded-counter

images: bin/trellis-operator bin/trellis-plane bin/trellis-runner bin/trellis-cluster bin/example-counter ## Images of operator and plane, without Docker, into dist/images
	hack/images.sh $(VERSION)

clean: ## Remove what was built here; caches stay
	rm -rf bin dist
