package postgres

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// List implements jobs.Store.
func (s *Store) List(ctx context.Context, f pub.Filter, cursor string, limit int) (pub.Page, error) {
	page := pub.Page{Jobs: []pub.Job{}}
	var before pgtype.UUID
	if cursor != "" {
		if err := before.Scan(cursor); err != nil {
			return page, jobs.ErrCursor
		}
	}
	err := s.call(ctx, "list jobs", func(ctx context.Context, pool *pgxpool.Pool) error {
		st, err := matching(f, before, "<", limit+1)
		if err != nil {
			return err
		}
		rows, err := pool.Query(ctx, st.text, st.args...)
		if err != nil {
			return err
		}
		got, err := pgx.CollectRows(rows, scanRow)
		if err != nil {
			return err
		}
		page.Cursor = ""
		if len(got) > limit {
			got = got[:limit]
			page.Cursor = got[limit-1].ID.String()
		}
		page.Jobs = make([]pub.Job, len(got))
		for i := range got {
			page.Jobs[i] = got[i].job()
		}
		return nil
	})
	return page, err
}

// match are the ids of jobs that match, the oldest first, those after one.
func match(ctx context.Context, q querier, f pub.Filter, after pgtype.UUID, n int) ([]pgtype.UUID, error) {
	st, err := matching(f, after, ">", n)
	if err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, st.text, st.args...)
	if err != nil {
		return nil, err
	}
	got, err := pgx.CollectRows(rows, scanRow)
	out := make([]pgtype.UUID, len(got))
	for i := range got {
		out[i] = got[i].ID
	}
	return out, err
}

// matching is the query for jobs that match, in the order of their ids, which is that of their acceptance: those
// on one side of an id. It walks the index of the first label, where there is one.
func matching(f pub.Filter, from pgtype.UUID, side string, n int) (*statement, error) {
	st := &statement{}
	order := map[string]string{"<": "DESC", ">": "ASC"}[side]
	id := "id"
	if len(f.Metadata) > 0 {
		key := slices.Min(slices.Collect(maps.Keys(f.Metadata)))
		id = "job"
		st.add("SELECT %s FROM labels JOIN jobs ON id = job WHERE labels.key = %s AND labels.value = %s", columns, st.param(key), st.param(f.Metadata[key]))
		if len(f.Metadata) > 1 {
			st.add(" AND metadata @> %s::jsonb", st.param(f.Metadata))
		}
	} else {
		st.add("SELECT %s FROM jobs WHERE true", columns)
	}
	if f.Status != "" {
		status, err := code(f.Status)
		if err != nil {
			return nil, err
		}
		// In the text, so that the partial index is found to be of use.
		st.add(" AND status = %d", status)
	}
	if f.Type != "" {
		// No job without a type is in the index, which so must be told that there is one.
		st.add(" AND type = %s AND type <> ''", st.param(f.Type))
	}
	if from.Valid {
		st.add(" AND %s %s %s", id, side, st.param(from))
	}
	st.add(" ORDER BY %s %s LIMIT %s", id, order, st.param(n))
	return st, nil
}
