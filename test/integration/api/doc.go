// Package api tests the resources of patterns.trellis.dev against a real
// kube-apiserver and etcd, with no operator running: what the schema and its CEL
// rules refuse and with which words, what is defaulted, how it prints, scales
// and keeps its status apart. Run it by `make test-integration`.
package api
