package machine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// ErrNewer is what a log or a snapshot gives that was written by a newer version, or is broken: going on without
// it would have this state differ from that of others.
var ErrNewer = errors.New("it was written by a newer version of the plane, or is damaged")

// codec writes or reads, so that what is written is said once: each method takes a pointer to what it puts into
// the bytes or fills from them. Numbers are varints, and strings and bytes have their length before them. What is put
// into the bytes is only looked at, as others may look at it too.
type codec struct {
	bytes   []byte
	reading bool
	// at is how far it has read, and broken is set where the bytes did not hold what they should.
	at     int
	broken bool
}

func (x *codec) uint(p *uint64) {
	if !x.reading {
		x.bytes = binary.AppendUvarint(x.bytes, *p)
		return
	}
	v, n := binary.Uvarint(x.bytes[x.at:])
	if n <= 0 {
		x.fail()
		return
	}
	x.at += n
	*p = v
}

func (x *codec) fail() { x.broken, x.at = true, len(x.bytes) }

func (x *codec) int(p *int64) {
	u := uint64(*p)<<1 ^ uint64(*p>>63)
	if x.uint(&u); x.reading {
		*p = int64(u>>1) ^ -int64(u&1)
	}
}

func (x *codec) int32(p *int32) {
	v := int64(*p)
	if x.int(&v); x.reading {
		*p = int32(v)
	}
}

func (x *codec) count(p *int) {
	v := int64(*p)
	if x.int(&v); x.reading {
		*p = int(v)
	}
}

func (x *codec) bool(p *bool) {
	v := uint64(0)
	if *p {
		v = 1
	}
	if x.uint(&v); x.reading {
		*p = v == 1
	}
}

func (x *codec) float(p *float64) {
	v := math.Float64bits(*p)
	if x.uint(&v); x.reading {
		*p = math.Float64frombits(v)
	}
}

// length of what follows, which is never more than the bytes that are left.
func (x *codec) length(n int) int {
	u := uint64(n)
	x.uint(&u)
	if x.reading && u > uint64(len(x.bytes)-x.at) {
		x.fail()
		return 0
	}
	return int(u)
}

func (x *codec) data(p *[]byte) {
	n := x.length(len(*p))
	if !x.reading {
		x.bytes = append(x.bytes, *p...)
		return
	}
	*p = nil
	if n > 0 {
		*p = slices.Clone(x.bytes[x.at : x.at+n])
		x.at += n
	}
}

func (x *codec) string(p *string) {
	n := x.length(len(*p))
	if !x.reading {
		x.bytes = append(x.bytes, *p...)
		return
	}
	*p = string(x.bytes[x.at : x.at+n])
	x.at += n
}

func (x *codec) time(p *time.Time) {
	v := nanos(*p)
	if x.int(&v); x.reading {
		*p = instant(v)
	}
}

func (x *codec) duration(p *time.Duration) {
	v := int64(*p)
	if x.int(&v); x.reading {
		*p = time.Duration(v)
	}
}

// list codes a slice; nil and empty are the same.
func list[T any](x *codec, p *[]T, each func(*T)) {
	n := x.length(len(*p))
	if x.reading {
		*p = nil
		for range n {
			var v T
			if each(&v); x.broken {
				return
			}
			*p = append(*p, v)
		}
		return
	}
	for i := range *p {
		each(&(*p)[i])
	}
}

// table codes a map, in the order of its keys.
func table[V any](x *codec, p *map[string]V, each func(*V)) {
	if x.reading {
		*p = nil
		for n := x.length(0); n > 0 && !x.broken; n-- {
			var k string
			var v V
			x.string(&k)
			each(&v)
			if *p == nil {
				*p = map[string]V{}
			}
			(*p)[k] = v
		}
		return
	}
	x.length(len(*p))
	keys := make([]string, 0, len(*p))
	for k := range *p {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		v := (*p)[k]
		x.string(&k)
		each(&v)
	}
}

// optional codes what may be nil.
func optional[T any](x *codec, p **T, each func(*T)) {
	there := *p != nil
	x.bool(&there)
	switch {
	case !x.reading && there:
		each(*p)
	case x.reading && there:
		*p = new(T)
		each(*p)
	case x.reading:
		*p = nil
	}
}

func (x *codec) strings(p *[]string)           { list(x, p, x.string) }
func (x *codec) metadata(p *map[string]string) { table(x, p, x.string) }

func (x *codec) content(c *Content) {
	x.string(&c.Type)
	x.data(&c.Data)
	x.string(&c.Ref)
	x.int(&c.Size)
}

func (x *codec) progress(p *jobs.Progress) {
	x.float(&p.Percent)
	x.string(&p.Message)
	x.time(&p.At)
}

// end checks that all was read.
func (x *codec) end(what string) error {
	if x.broken || x.at != len(x.bytes) {
		return fmt.Errorf("%s can not be read: %w", what, ErrNewer)
	}
	return nil
}
