// Package load is what stands on both sides of a router that is measured: shards that answer at once, and clients that
// ask for keys. Both cost as little as they can, as they share the cores with the router.
package load
