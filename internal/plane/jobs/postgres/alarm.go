package postgres

import (
	"context"
	"sync"
	"time"
)

// alarm rings once when the earliest of what was set has passed.
type alarm struct {
	mu    sync.Mutex
	at    time.Time
	moved chan struct{}
}

// alarmAtMost is how far ahead an alarm is kept; what is later is found by a sweep.
const alarmAtMost = time.Minute

func newAlarm() *alarm { return &alarm{moved: make(chan struct{}, 1)} }

// set has it ring after d. It takes a duration, as the clocks of its callers may be moved.
func (a *alarm) set(d time.Duration) {
	if d > alarmAtMost {
		return
	}
	at := time.Now().Add(max(d, 0))
	a.mu.Lock()
	earlier := a.at.IsZero() || at.Before(a.at)
	if earlier {
		a.at = at
	}
	a.mu.Unlock()
	if !earlier {
		return
	}
	select {
	case a.moved <- struct{}{}:
	default:
	}
}

func (a *alarm) run(ctx context.Context, ring func()) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-a.moved:
		}
		a.mu.Lock()
		next := a.at
		rings := !next.IsZero() && !time.Now().Before(next)
		if rings {
			a.at, next = time.Time{}, time.Time{}
		}
		a.mu.Unlock()
		if rings {
			ring()
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}
