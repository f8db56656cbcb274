package hashing

import "github.com/trellis-dev/trellis/pkg/ring"

// maglevSize is a prime: the smaller one of the paper's two.
const maglevSize = 65537

// maglev is the look-up table of Maglev (Eisenbud and others 2016, section 3.4).
type maglev struct {
	ids   []string
	table [maglevSize]int32
}

func newMaglev(ids []string) *maglev {
	m := &maglev{ids: ids}
	for i := range m.table {
		m.table[i] = -1
	}
	offset, skip, next := make([]uint64, len(ids)), make([]uint64, len(ids)), make([]uint64, len(ids))
	for i, id := range ids {
		offset[i], skip[i] = ring.Hash("offset "+id)%maglevSize, ring.Hash("skip "+id)%(maglevSize-1)+1
	}
	for filled := 0; ; {
		for i := range ids {
			at := (offset[i] + next[i]*skip[i]) % maglevSize
			for m.table[at] >= 0 {
				next[i]++
				at = (offset[i] + next[i]*skip[i]) % maglevSize
			}
			m.table[at] = int32(i) //nolint:gosec // some members
			next[i]++
			if filled++; filled == maglevSize {
				return m
			}
		}
	}
}

func (m *maglev) lookup(key string) string { return m.ids[m.table[ring.Hash(key)%maglevSize]] }
