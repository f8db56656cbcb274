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
	kind := "a"
	c := jobs.Claim{ID: storetest.NewJob().ID, Token: 1}
	to, now := s.settings.Load(), storetest.Epoch
	id, err := parseID(c.ID)
	if err != nil {
		t.Fatal(err)
	}
	complete, _ := completing(to, now, []completion{{Completion: jobs.Completion{Claim: c}, id: id}}, false)
	four := runsOf([]jobs.LeaseQuery{{Max: 4}})[0]
	two := []quota{{"high", 3}, {"low", 1}}
	for name, one := range map[string]struct {
		of   *statement
		want string
	}{
		"lease":    {leasing(to, now, four, nil, two), "jobs_due on jobs"},
		"of type":  {leasing(to, now, four, &kind, two), "jobs_due_type on jobs"},
		"complete": {complete, "Index Scan using jobs_pkey on jobs"},
		"extend":   {extending(to, now, c, &pub.Progress{}), "Index Scan using jobs_"},
		"promote":  {&statement{text: promoting, args: []any{now, 10}}, "jobs_scheduled"},
		"over":     {&statement{text: over, args: []any{now, 10}}, "jobs_status"},
		"unwanted": {&statement{text: unwanted, args: []any{[]string{"a"}, now, 10}}, "outbox_pkey on outbox"},
		"oldest":   {&statement{text: oldestDue, args: []any{now}}, "jobs_due on jobs"},
	} {
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
			t.Errorf("%s:\n%s", name, plan)
		}
	}
}
