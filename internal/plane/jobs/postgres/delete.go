package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
)

// deleting forgets the jobs that a query says, with all that there is of them.
const deleting = `WITH gone AS (DELETE FROM jobs WHERE id IN (%s) AND status <> 3 RETURNING id, priority, status, idempotency, metadata),
	keys AS (DELETE FROM idempotency USING gone WHERE key = gone.idempotency AND gone.idempotency <> '' AND job = gone.id),
	tags AS (DELETE FROM labels USING gone, jsonb_each_text(gone.metadata) m
		WHERE labels.key = m.key AND labels.value = m.value AND job = gone.id),
	tries AS (DELETE FROM attempts USING gone WHERE job = gone.id),
	moved AS (SELECT priority, status AS was, NULL::smallint AS now FROM gone), ` + counted + ` SELECT id FROM gone`

// Delete implements jobs.Store.
func (s *Store) Delete(ctx context.Context, id string) error {
	var changes []jobs.Change
	err := s.call(ctx, "delete a job", func(ctx context.Context, pool *pgxpool.Pool) error {
		r, err := find(ctx, pool, id)
		if err != nil {
			return err
		}
		if r.Status == running {
			return jobs.ErrState
		}
		key := []string{r.OrderingKey}
		gone := false
		b := &inLanes{}
		b.Queue("SELECT key FROM lanes WHERE key = ANY($1::text[]) FOR UPDATE", key)
		b.Queue(fmt.Sprintf(deleting, "$1::uuid"), r.ID).Query(func(rows pgx.Rows) error {
			gone = rows.Next()
			rows.Close()
			return rows.Err()
		})
		b.Queue(fmt.Sprintf(advance, "SELECT unnest($1::text[])", ""), key).Query(b.collectIDs)
		if err := b.run(ctx, pool); err != nil {
			return err
		}
		if !gone {
			return fmt.Errorf("%w: the job changed", errAgain)
		}
		changes = []jobs.Change{{ID: id}}
		for _, next := range b.unblocked {
			changes = append(changes, jobs.Change{ID: next, Due: true})
		}
		return nil
	})
	s.announce(changes...)
	return err
}
