// Package kube publishes a ShardSet's table in a ConfigMap, finds its members by the EndpointSlices of their headless
// Service, and elects the mover by a Lease. It is the one package of the planes that imports Kubernetes' client.
package kube
