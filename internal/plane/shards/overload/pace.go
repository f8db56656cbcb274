package overload

import (
	"math"
	"time"
)

// memory is how long a pace remembers.
const memory = 5 * time.Second

// pace is how often something happens, per second, lately.
type pace struct {
	at    time.Time
	value float64
}

func (p *pace) count(now time.Time) {
	p.value = p.per(now) + 1/memory.Seconds()
	p.at = now
}

func (p *pace) per(now time.Time) float64 {
	return p.value * math.Exp(-now.Sub(p.at).Seconds()/memory.Seconds())
}
