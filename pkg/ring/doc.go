// Package ring says which of a group of members owns a key. A key belongs to one of a fixed number of partitions, by a
// hash of it, and each partition to one member, by a table with an epoch. When members come or go, Rebalance moves as few
// partitions as keep every member within its share, and no other.
//
// All of it is pure: the same history of memberships gives the same table everywhere. The package imports nothing of
// Trellis, so that clients can find the owner of a key by themselves.
package ring
