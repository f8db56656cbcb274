// Package pipeline tests the shared pipeline against a real kube-apiserver and
// etcd. What a cluster's controllers would do (start pods, make claims, collect
// garbage) is played by nodes.go.
package pipeline
