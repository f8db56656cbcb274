package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
)

func TestTurns(t *testing.T) {
	t.Parallel()
	var turns turns
	turns.weigh(map[string]int{"high": 4, "low": 1})
	for _, step := range []struct {
		n       int
		want    []quota
		started map[string]int
	}{
		{5, []quota{{"high", 4}, {"low", 1}}, map[string]int{"high": 4, "low": 1}},
		// What waits alone saves nothing up for the other, and costs it nothing.
		{1, []quota{{"high", 1}, {"low", 0}}, map[string]int{"low": 100}},
		{10, []quota{{"high", 9}, {"low", 1}}, nil},
	} {
		if diff := cmp.Diff(step.want, turns.plan(step.n), cmp.AllowUnexported(quota{})); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		turns.started(step.started)
	}
}

func TestPack(t *testing.T) {
	t.Parallel()
	var in []jobs.Change
	for i := range 1000 {
		id := "01a21a29-f919-77dd-bce7-e88450fb0bc5"
		in = append(in, jobs.Change{ID: id, Due: i%2 == 0})
	}
	in = append(in, jobs.Change{Due: true}, jobs.Change{Missed: true})
	var out []jobs.Change
	for _, part := range pack(in, "AAAAAAAA") {
		if len(part) > 8000 {
			t.Errorf("a notification of %d bytes", len(part))
		}
		out = append(out, unpack(part, "BBBBBBBB")...)
		if got := unpack(part, "AAAAAAAA"); got != nil {
			t.Error("it is told of its own changes")
		}
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]jobs.Change{{Missed: true}}, unpack("AAAAAAAA!short", "BBBBBBBB")); diff != "" {
		t.Error(diff)
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	level := 1.0
	for name, c := range map[string]struct {
		now  time.Time
		want float64
		of   time.Time
	}{
		"fills":                       {at.Add(500 * time.Millisecond), 2, at.Add(500 * time.Millisecond)},
		"up to burst":                 {at.Add(time.Hour), 3, at.Add(time.Hour)},
		"a clock behind":              {at.Add(-time.Second), 1, at},
		"filled by one that is ahead": {at.Add(-time.Hour), 1, at.Add(-time.Hour)},
	} {
		if got, of := fill(&level, &at, c.now, 2, 3); got < c.want || got > c.want+1e-6 || !of.Equal(c.of) {
			t.Errorf("%s: %v of %s, want %v of %s", name, got, of, c.want, c.of)
		}
	}
}

func TestAlarm(t *testing.T) {
	t.Parallel()
	a, rang := newAlarm(), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { a.run(ctx, func() { rang <- struct{}{} }); close(done) }()
	a.set(time.Hour)
	a.set(30 * time.Second)
	a.set(time.Millisecond)
	<-rang
	a.set(-time.Second)
	<-rang
	cancel()
	<-done
}
