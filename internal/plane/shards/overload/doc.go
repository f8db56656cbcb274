// Package overload says which requests a router sends on to a shard, which wait, and which it sheds: as many at once as the
// shard is found to serve, the more important first. It also counts which partitions take more than their share.
//
// It knows requests by their member, partition and class only, and imports the chassis for its problems and metrics.
package overload
