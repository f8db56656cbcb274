// Package member is the sidecar in front of a shard's container: it passes on the requests of the partitions that the
// shard serves and refuses all others, and it gives its word that a partition is served here no longer before another
// shard may serve it. Ownership is decided by the published table alone, never by a clock; docs/adr/0030 has the argument.
//
// It may import internal/plane, the packages of internal/plane/shards that have no Kubernetes in them, pkg and
// internal/planeconfig.
package member
