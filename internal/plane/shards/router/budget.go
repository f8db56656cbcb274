package router

import "sync/atomic"

const (
	// aRetry is what one costs, in hundredths: a request earns the percentage that may be retries.
	aRetry = 100
	// mostRetries can be saved up.
	mostRetries = 10 * aRetry
)

// budget bounds the retries by the number of requests, so that what is overloaded is not asked again and again.
type budget struct{ left atomic.Int64 }

func (b *budget) fill() { b.left.Store(mostRetries) }

// earn by one request.
func (b *budget) earn(percent int) {
	if b.left.Load() < mostRetries {
		b.left.Add(int64(percent))
	}
}

// spend reports whether there may be one more retry.
func (b *budget) spend() bool {
	for {
		left := b.left.Load()
		if left < aRetry {
			return false
		}
		if b.left.CompareAndSwap(left, left-aRetry) {
			return true
		}
	}
}
