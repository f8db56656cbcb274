// Package pipeline tests the shared pipeline against a real kube-apiserver and
// etcd.
package pipeline
