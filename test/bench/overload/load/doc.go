// Package load is what stands on both sides of a router that is overloaded: shards that serve so many requests at once
// and have the others wait, and clients that send whether or not they are answered.
package load
