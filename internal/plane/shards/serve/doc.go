// Package serve puts together what serves a ShardSet: its routers, of which one moves partitions, and its members, on a
// table that is published in Kubernetes.
package serve
