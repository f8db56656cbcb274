package postgres

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// tallied is what this replica believes of the number of jobs that wait, so that not every submission counts. It
// asks again once a second and, where the limit is near, each time.
type tallied struct {
	mu      sync.Mutex
	waiting int64
	asked   time.Time
}

const (
	tallyKept = time.Second
	// tallyNear is how far below the limit the count is trusted while replicas accept at the same time.
	tallyNear = 0.9
)

// room for how many more jobs there is, of n.
func (t *tallied) room(ctx context.Context, q querier, limit int64, n int) (int, error) {
	if limit <= 0 {
		return math.MaxInt, nil
	}
	t.mu.Lock()
	waiting, asked := t.waiting, t.asked
	t.mu.Unlock()
	if time.Since(asked) < tallyKept && float64(waiting+int64(n)) < float64(limit)*tallyNear {
		return n, nil
	}
	rows, err := q.Query(ctx, "SELECT coalesce(sum(scheduled + queued + retrying), 0)::bigint FROM tally")
	if err != nil {
		return 0, fmt.Errorf("count what waits: %w", err)
	}
	waiting, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
	if err != nil {
		return 0, fmt.Errorf("count what waits: %w", err)
	}
	t.mu.Lock()
	t.waiting, t.asked = waiting, time.Now()
	t.mu.Unlock()
	return int(max(limit-waiting, 0)), nil
}

func (t *tallied) accepted(n int) { t.add(int64(n)) }
func (t *tallied) left(n int)     { t.add(-int64(n)) }

func (t *tallied) add(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting += n
}
