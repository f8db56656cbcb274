##@ Help

.PHONY: help
help: ## List the targets
	@awk -f hack/make/help.awk $(MAKEFILE_LIST)
