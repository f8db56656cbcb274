// Package stateful gives each room one owner among the replicas of a gateway. What is published in a room gets its order
// at the owner, which keeps the newest messages in its memory; the engine keeps all that a fail-over needs, and carries
// messages to the replicas whose clients follow the room.
//
// Who owns a room is said by a table of pkg/ring, which lies in the engine beside the rooms. Each ownership has a fence:
// the engine appends nothing for whom holds another than the partition's own. No clock takes part in that; clocks only
// say when to look for who is gone.
//
// It may import pkg/ring, internal/planeconfig, and the library of the rooms.
package stateful
