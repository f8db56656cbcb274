package postgres_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/postgres"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

func run(t testing.TB, uri, schema string, s jobs.Settings) *postgres.Store {
	t.Helper()
	file := filepath.Join(t.TempDir(), "uri")
	if err := os.WriteFile(file, []byte(uri), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := postgres.New(postgres.Config{Engine: planeconfig.Engine{Type: "PostgreSQL", URIFile: file}, Schema: schema}, s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return store
}

func settings() jobs.Settings {
	return jobs.Settings{LeaseTTL: 30 * time.Second, Weights: map[string]int{"high": 3, "normal": 1}, Ordered: true, Waiting: 1000000,
		DeadRetention: time.Hour, ResultTTL: time.Hour,
		Sinks: map[string][]string{"all": nil},
		Decide: func(j pub.Job, _ jobs.Failure, now time.Time) jobs.Verdict {
			if j.Attempt >= j.MaxAttempts {
				return jobs.Verdict{Status: pub.StatusDead}
			}
			return jobs.Verdict{Status: pub.StatusRetrying, RetryAt: now.Add(time.Second)}
		}}
}

func TestFirst(t *testing.T) {
	uri, _ := enginetest.Postgres(t)
	s := run(t, uri, "q1", settings())
	now := time.Now()
	batch := []jobs.NewJob{}
	for i := range 4 {
		id, _ := uuid.NewV7()
		batch = append(batch, jobs.NewJob{ID: id.String(), Type: "a", Priority: "normal", Timeout: time.Minute, MaxAttempts: 2,
			Metadata: map[string]string{"n": fmt.Sprint(i)}, OrderingKey: fmt.Sprint(i / 2), IdempotencyKey: fmt.Sprint("k", i), Digest: []byte{1},
			Payload: jobs.Body{ContentType: "application/json", Data: []byte(`{"a":1}`)}})
	}
	res, err := s.Submit(t.Context(), now, batch)
	t.Log(res, err)
	res, err = s.Submit(t.Context(), now, batch)
	t.Log(res, err)
	got, err := s.Lease(t.Context(), now, jobs.LeaseQuery{Worker: "w", Max: 10})
	t.Log(got, err)
	got2, err := s.Lease(t.Context(), now, jobs.LeaseQuery{Worker: "w", Max: 10, Types: []string{"a", "b"}})
	t.Log(got2, err)
	c := jobs.Claim{ID: got[0].Job.ID, Token: got[0].Token}
	exp, can, err := s.Extend(t.Context(), now, c, &pub.Progress{Percent: 3})
	t.Log(exp, can, err)
	j, err := s.Complete(t.Context(), now, c, jobs.Body{ContentType: "application/json", Data: []byte("1")})
	t.Log(j, err)
	j, err = s.Complete(t.Context(), now, c, jobs.Body{ContentType: "application/json", Data: []byte("1")})
	t.Log(j, err)
	j, err = s.Fail(t.Context(), now, jobs.Claim{ID: got[1].Job.ID, Token: got[1].Token}, jobs.Failure{Outcome: pub.OutcomeFailed, Error: "x"})
	t.Log(j, err)
	j, err = s.Get(t.Context(), c.ID)
	t.Logf("%+v %v", j, err)
	got, err = s.Lease(t.Context(), now.Add(2*time.Second), jobs.LeaseQuery{Worker: "w", Max: 10})
	t.Log(got, err)
	for _, l := range got {
		t.Log(s.Release(t.Context(), now, jobs.Claim{ID: l.Job.ID, Token: l.Token}))
	}
}
