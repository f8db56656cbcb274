package router

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
)

// complainEvery is how often requests that failed are told of in the log, for each shard.
const complainEvery = time.Second

// complaints are few, however many there would be. The zero value has none yet.
type complaints struct {
	mu   sync.Mutex
	last time.Time
	left int
}

// due reports whether to complain now, and how many were left out before.
func (c *complaints) due(now time.Time) (left int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() && now.Sub(c.last) < complainEvery {
		c.left++
		return 0, false
	}
	left, c.last, c.left = c.left, now, 0
	return left, true
}

// complain of a request that failed.
func (j *job) complain(p *plane.Problem) {
	trouble, member := &j.r.trouble, ""
	if j.at != nil {
		trouble, member = &j.at.trouble, j.at.id
	}
	left, ok := trouble.due(time.Now())
	if !ok {
		return
	}
	j.r.log.LogAttrs(j.req.Context(), slog.LevelWarn, "a request failed", slog.String("problem", p.Title), slog.String("member", member),
		slog.Int("partition", j.partition), slog.Any("error", errors.Unwrap(p)), slog.Int("leftOut", left))
}
