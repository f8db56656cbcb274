// Package wire is what the mover and the members of a ShardSet say to each other over HTTP. It imports pkg/ring and
// internal/planeconfig.
package wire

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// Partitions is where a member says which partitions it holds. What is done to one of them is at Path.
const Partitions = planeconfig.ShardPath + "/partitions"

// What is done to a partition.
const (
	Fence  = "fence"
	Import = "import"
	Export = "export"
	Drop   = "drop"
)

// Trailers of an export. Each of them is there at its proper end; Failure alone where it was not brought to one.
const (
	TrailerSHA256  = "Trellis-Sha256"
	TrailerBytes   = "Trellis-Bytes"
	TrailerFailure = "Trellis-Failure"
)

// Order is the body of what a mover, or a member for an export, asks for.
type Order struct {
	// Epoch of the table that the order follows from; the member waits until it has one at least as new.
	Epoch uint64 `json:"epoch"`
	// Term of the mover.
	Term uint64 `json:"term"`
	// From is the address of the member to import from; of an import only.
	From string `json:"from,omitempty"`
	// Insist has a member cut what is under way of the partition after half of that time; of a fence only, and of one that
	// was asked for before in vain.
	Insist bool `json:"insist,omitempty"`
	// Milliseconds that the one who asks waits for the answer.
	Milliseconds int64 `json:"milliseconds,omitempty"`
}

// Copied is what an import brought.
type Copied struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
}

// Word is what a member says of itself, and its answer to a fence.
type Word struct {
	Member string `json:"member"`
	// Incarnation is the UID of its pod; empty where it was not told.
	Incarnation string `json:"incarnation,omitempty"`
	// Settled is false while requests that a former process of the member passed on may still be under way in its container.
	Settled bool `json:"settled"`
	// Term is the highest that it heard of.
	Term uint64 `json:"term"`
	// Table is the newest one that it has; without partitions where it has none.
	Table ring.Table `json:"table"`
	// Serving are the partitions that it serves.
	Serving []int `json:"serving"`
}

// Path of what is done to a partition.
func Path(partition int, verb string) string {
	return fmt.Sprintf("%s/%d:%s", Partitions, partition, verb)
}

// ParsePath is the opposite of Path.
func ParsePath(path string) (partition int, verb string, ok bool) {
	rest, ok := strings.CutPrefix(path, Partitions+"/")
	if !ok {
		return 0, "", false
	}
	number, verb, ok := strings.Cut(rest, ":")
	if !ok {
		return 0, "", false
	}
	partition, err := strconv.Atoi(number)
	return partition, verb, err == nil && partition >= 0
}
