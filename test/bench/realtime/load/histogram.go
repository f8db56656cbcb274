package load

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram of times, exact to 1/32. Many may add at once.
type histogram struct {
	counts [buckets]atomic.Int64
}

const (
	perOctave = 64
	octaves   = 40
	buckets   = perOctave * octaves
)

// bucketOf has 32 buckets in use for each doubling, of nanoseconds.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < perOctave {
		return int(n)
	}
	// n>>octave has its highest bit at 32, so that each octave uses the upper
	// half of its buckets only.
	octave := bits.Len64(n) - bits.Len64(perOctave-1)
	return min(buckets-1, octave*perOctave+int(n>>octave))
}

// valueOf is the greatest time of a bucket.
func valueOf(bucket int) time.Duration {
	octave, within := bucket/perOctave, bucket%perOctave
	if octave == 0 {
		return time.Duration(within)
	}
	return time.Duration(float64(within+1) * math.Exp2(float64(octave)))
}

func (h *histogram) add(d time.Duration) { h.counts[bucketOf(d)].Add(1) }

func (h *histogram) reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
}

// quantile is the time that the share q of all is not above.
func (h *histogram) quantile(q float64) time.Duration {
	var total int64
	for i := range h.counts {
		total += h.counts[i].Load()
	}
	rank := int64(math.Ceil(q * float64(total)))
	var seen int64
	for i := range h.counts {
		if seen += h.counts[i].Load(); seen >= rank && seen > 0 {
			return valueOf(i)
		}
	}
	return 0
}
