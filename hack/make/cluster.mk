##@ Cluster

.PHONY: cluster-up cluster-down
cluster-up: deps-run bin/trellis-cluster ## Boot a cluster: NAME, NODES
	hack/kube.sh up $(NAME) $(NODES)

cluster-down: bin/trellis-cluster ## Take it down, and leave nothing behind
	hack/kube.sh down $(NAME)
