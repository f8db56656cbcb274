package plane

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Rights that a grant can hold.
const (
	RightSubscribe = "subscribe"
	RightPublish   = "publish"
	// RightPresence is to see who else is there.
	RightPresence = "presence"
)

// Rights of a queue, which has no rooms.
const (
	RightSubmit = "submit"
	RightRead   = "read"
	RightManage = "manage"
	// RightWork is to lease jobs and to end those leases.
	RightWork = "work"
)

// Bounds of a grant.
const (
	maxGrantRooms = 64
	maxGrantRoom  = 129
)

// Grant says which rooms may be used, and how.
type Grant struct {
	// All is full rights: those of the binding token.
	All bool
	planeconfig.Grant
}

// Allows reports whether right may be used in room.
func (g Grant) Allows(right, room string) bool {
	if g.All {
		return true
	}
	if !slices.Contains(g.Rights, right) {
		return false
	}
	return slices.ContainsFunc(g.Rooms, func(pattern string) bool {
		prefix, wild := strings.CutSuffix(pattern, "*")
		return room == pattern || wild && strings.HasPrefix(room, prefix)
	})
}

// Has reports whether right is held, where rights are not for rooms.
func (g Grant) Has(right string) bool { return g.All || slices.Contains(g.Rights, right) }

// CheckGrant reports what is wrong with a grant that somebody asks for.
func CheckGrant(g planeconfig.Grant) []ProblemError {
	var errs []ProblemError
	add := func(location, format string, args ...any) {
		errs = append(errs, ProblemError{Location: location, Message: fmt.Sprintf(format, args...)})
	}
	if len(g.Rooms) == 0 || len(g.Rooms) > maxGrantRooms {
		add("body.rooms", "name 1 to %d rooms, each a name or a prefix that ends in *", maxGrantRooms)
	}
	for i, r := range g.Rooms {
		if r == "" || len(r) > maxGrantRoom || strings.Contains(strings.TrimSuffix(r, "*"), "*") {
			add(fmt.Sprintf("body.rooms[%d]", i), "a name or a prefix that ends in *, at most %d characters", maxGrantRoom)
		}
	}
	if len(g.Rights) == 0 {
		add("body.rights", "name at least one of subscribe, publish, presence")
	}
	for i, r := range g.Rights {
		if r != RightSubscribe && r != RightPublish && r != RightPresence {
			add(fmt.Sprintf("body.rights[%d]", i), "must be subscribe, publish or presence")
		}
	}
	return errs
}
