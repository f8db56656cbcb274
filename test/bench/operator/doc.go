// Package operator measures the operator against a bare client that creates the
// same children, over a real kube-apiserver and etcd. The nodes are played:
// every Deployment becomes available as soon as it is seen.
package operator
