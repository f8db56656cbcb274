// Package shards tests what a ShardSet's planes do with a real API server: how the table is published, how members are
// found, and how a mover is elected.
package shards
