package carry

import "sync/atomic"

// Room bounds the bytes of bodies that are kept at once.
type Room struct {
	// Most of them.
	Most int64
	kept atomic.Int64
}

// Take reports whether there is room for n bytes more. It is given back by Give.
func (r *Room) Take(n int64) bool {
	if r.kept.Add(n) > r.Most {
		r.kept.Add(-n)
		return false
	}
	return true
}

// Give room back.
func (r *Room) Give(n int64) {
	if n != 0 {
		r.kept.Add(-n)
	}
}
