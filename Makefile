# `make` lists the targets. What a target does stands in hack/make and hack/*.sh.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The version of operator, plane, chart and images.
VERSION ?= $(shell cat VERSION)
# Where to run: embedded (built here from source), kind (needs Docker), current (kubectl's context).
CLUSTER ?= embedded
# The cluster's name and number of nodes, for cluster-up and cluster-down.
NAME ?= trellis
NODES ?= 1
export VERSION CLUSTER

include $(patsubst %,hack/make/%.mk,tools test develop build cluster help)
