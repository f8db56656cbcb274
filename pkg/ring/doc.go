// Package ring says which of a group of members owns a key. A key belongs to one of a fixed number of partitions, by a
// hash of it or by a Placement, and each partition to one member, by a Table with an epoch. When members come or go,
// Rebalance moves as few partitions as keep every member within its share, and no other.
//
// All of it is pure: the same history of memberships gives the same table everywhere, in each release. How a table is
// written (JSON, and a short binary form) and how keys are hashed is in docs/ring.md, for clients in other languages, and
// testdata holds both to it. The package imports nothing of Trellis, so that clients can find the owner of a key by
// themselves.
package ring
