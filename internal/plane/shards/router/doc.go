// Package router passes each request on to the one shard that owns its key: HTTP/1.1, HTTP/2 without TLS, and
// WebSocket. It follows the published table, and sends nothing to a shard that the table does not name for the
// request's partition; the shards refuse what they do not own by themselves, so that an old table here does no harm.
// What belongs to a partition on the way from one shard to another is held, within bounds, and goes to the new owner.
//
// It may import internal/plane, internal/plane/shards/carry, overload and table, internal/planeconfig and pkg/ring.
package router
