// Package framework is what the integration tests share: a real kube-apiserver
// and etcd, operators in this process whose calls can be counted and broken, and
// players for what a cluster's own controllers would do.
package framework
