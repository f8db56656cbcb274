// Package router measures the router of a ShardSet beside HAProxy and nginx with consistent hashing: the same shards
// behind each, and the same clients before it.
package router
