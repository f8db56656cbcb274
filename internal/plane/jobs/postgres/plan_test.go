package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/storetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// Each statement that is made often finds its rows by an index, and sorts no backlog, whatever the tables hold.
func TestPlans(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	file := filepath.Join(t.TempDir(), "uri")
	if err := os.WriteFile(file, []byte(uri), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Engine: planeconfig.Engine{URIFile: file}, Schema: "q"}, storetest.Settings())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.pool.Close()
	plansHold(t, s, "of empty tables")
	for _, sql := range filling {
		if _, err := s.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	plansHold(t, s, "of 20,000 jobs")
}

// filling makes 20,000 jobs, 400 of them of one type and half of them with a label, 500 of which run, and has the engine count them.
var filling = []string{
	`INSERT INTO jobs (id, seq, accepted_at, run_at, timeout_ns, max_attempts, status, priority, type, ordering_key, idempotency, traceparent,
		payload_type, expires_at, deadline_at) SELECT gen_random_uuid(), n, '2026-03-01', '2026-03-01', 1, 1, CASE WHEN n % 40 = 0 THEN 3 ELSE 1 END, 'low',
		'a', '', '', '', '', '2026-03-01', '2026-03-02' FROM generate_series(1, 20000) n`,
	`UPDATE jobs SET type = 'b' || seq WHERE seq % 50 > 0`,
	`INSERT INTO labels SELECT 'l', 'x', id FROM jobs WHERE seq % 2 = 0`,
	`ANALYZE`,
}

// plansHold looks at the plan of each statement.
func plansHold(t *testing.T, s *Store, when string) {
	for name, one := range planned(t, s) {
		rows, err := s.pool.Query(t.Context(), "EXPLAIN "+one.of.text, one.of.args...)
		if err != nil {
			t.Fatal(name, err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(name, err)
		}
		plan := strings.Join(lines, "\n")
		if !strings.Contains(plan, one.want) || strings.Contains(plan, "Sort Key: jobs") || strings.Contains(plan, "Seq Scan on jobs") {
			t.Errorf("%s %s:\n%s", name, when, plan)
		}
	}
}

// plan is a statement, and what the way to its rows has to name.
type plan struct {
	of   *statement
	want string
}

func planned(t *testing.T, s *Store) map[string]plan {
	kind := "a"
	c := jobs.Claim{ID: storetest.NewJob().ID, Token: 1}
	to, now := s.settings.Load(), storetest.Epoch
	id, err := parseID(c.ID)
	if err != nil {
		t.Fatal(err)
	}
	list := func(f pub.Filter) *statement {
		st, err := matching(f, id, "<", 50)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	complete, _ := completing(to, now, []completion{{Completion: jobs.Completion{Claim: c}, id: id}}, false)
	four := runsOf([]jobs.LeaseQuery{{Max: 4}})[0]
	two := []quota{{"high", 3}, {"low", 1}}
	return map[string]plan{
		"lease":         {leasing(to, now, four, nil, two), "jobs_due on jobs"},
		"of type":       {leasing(to, now, four, &kind, two), "jobs_due_type on jobs"},
		"complete":      {complete, "Index Scan using jobs_pkey on jobs"},
		"extend":        {extending(to, now, c, &pub.Progress{}), "Index Scan using jobs_"},
		"promote":       {&statement{text: promoting, args: []any{now, 10}}, "jobs_scheduled"},
		"over":          {&statement{text: over, args: []any{now, 10}}, "jobs_over on jobs"},
		"put off":       {&statement{text: putOff, args: []any{now, 10}}, "jobs_over on jobs"},
		"upcoming":      {&statement{text: upcoming, args: []any{now}}, "jobs_over on jobs"},
		"unwanted":      {&statement{text: unwanted, args: []any{[]string{"a"}, now, 10}}, "outbox_pkey on outbox"},
		"oldest":        {&statement{text: oldestDue, args: []any{now}}, "jobs_due on jobs"},
		"startable":     {&statement{text: startable, args: []any{now, 1000}}, "jobs_due on jobs"},
		"list":          {list(pub.Filter{}), "Index Scan Backward using jobs_pkey on jobs"},
		"list status":   {list(pub.Filter{Status: pub.StatusDead}), "Index Scan Backward using jobs_status on jobs"},
		"list type":     {list(pub.Filter{Type: kind}), "Index Scan Backward using jobs_type on jobs"},
		"list metadata": {list(pub.Filter{Metadata: map[string]string{"l": "x"}}), "Scan Backward using labels_pkey on labels"},
		"list by all":   {list(pub.Filter{Metadata: map[string]string{"l": "x"}, Type: kind, Status: pub.StatusQueued}), "Scan Backward using labels_pkey on labels"},
	}
}
