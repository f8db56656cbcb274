// Package shardset plans a ShardSet: a StatefulSet of the user's containers with a member beside each, routers before them, and
// what they publish their table in. It is pure, but for what the pipeline asks of it. It may import api, controllers/pattern,
// controllers/planes, controllers/specs, controllers/scaling, internal/planeconfig and pkg/ring.
package shardset
