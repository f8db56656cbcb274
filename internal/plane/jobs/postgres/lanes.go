package postgres

import (
	"github.com/jackc/pgx/v5/pgtype"
)

// Jobs of one ordering key run one at a time. All but the head of their lane are blocked, and blocked ones are not in
// the index that Lease walks, so that ordering costs Lease nothing. Whoever has a job enter or leave a lane locks the
// lane's row first, and looks in a later statement, which sees what the one before it did.

const lanesOf = `SELECT ordering_key FROM jobs WHERE id = ANY($1::uuid[]) AND laned`

const lockLanes = `SELECT key FROM lanes WHERE key IN (` + lanesOf + `) ORDER BY key FOR UPDATE`

// lockHeads keeps Lease away from the heads of lanes that are locked.
const lockHeads = `SELECT id FROM jobs WHERE id IN (SELECT head FROM lanes WHERE key IN (` + lanesOf + `)) ORDER BY id FOR UPDATE`

// enterLanes makes or locks the lanes that jobs come back to.
const enterLanes = `INSERT INTO lanes (key, head) SELECT DISTINCT ON (ordering_key) ordering_key, id FROM jobs
	WHERE id = ANY($1::uuid[]) AND laned ORDER BY ordering_key, seq
	ON CONFLICT (key) DO UPDATE SET head = lanes.head`

// advance has the oldest job of a lane be its head where the head is at its end, or is no more. With %[2]s it may take the
// place of one that waits. Where several run, as they did before there was a lane, the next head is one of those. %[1]s
// are the keys.
const advance = `WITH found AS MATERIALIZED (SELECT l.key, l.head, (SELECT j.id FROM jobs j
		WHERE j.ordering_key = l.key AND j.laned AND j.status <= 3 ORDER BY j.ordering_key, j.seq LIMIT 1) AS oldest,
		CASE WHEN l.crowded THEN (SELECT j.id FROM jobs j
		WHERE j.ordering_key = l.key AND j.laned AND j.status <= 3 AND j.status::int = 3 ORDER BY j.ordering_key, j.seq LIMIT 1) END AS runs
		FROM lanes l LEFT JOIN jobs h ON h.id = l.head
		WHERE l.key IN (%[1]s) AND (h.status IS NULL OR h.status > 3 %[2]s)),
	here AS MATERIALIZED (SELECT key, head, coalesce(runs, oldest) AS next, runs IS NOT NULL AS many FROM found),
	dropped AS (DELETE FROM lanes USING here WHERE lanes.key = here.key AND next IS NULL),
	moved AS (UPDATE lanes SET head = next, crowded = many FROM here
		WHERE lanes.key = here.key AND (next <> lanes.head OR many <> lanes.crowded))
	UPDATE jobs SET blocked = (id <> next) FROM here
	WHERE id IN (next, here.head) AND status < 3 AND next IS NOT NULL AND blocked <> (id <> next) RETURNING id`

const orWaits = "OR h.status < 3"

func ids(of ...string) ([]pgtype.UUID, error) {
	out := make([]pgtype.UUID, len(of))
	for i, id := range of {
		var err error
		if out[i], err = parseID(id); err != nil {
			return nil, err
		}
	}
	return out, nil
}
