package harness_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/test/bench/harness"
)

func TestSidesTakeTurns(t *testing.T) {
	var turns []string
	side := func(name string) harness.Side {
		return func(context.Context) (harness.Figures, error) {
			turns = append(turns, name)
			return harness.Figures{"rate": float64(len(turns))}, nil
		}
	}
	e := &harness.Env{Runs: 3, Progress: io.Discard}
	got, err := e.Interleave(t.Context(), "x", side("A"), side("B"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "A B B A A B"; strings.Join(turns, " ") != want {
		t.Errorf("the sides ran %v, want %s", turns, want)
	}
	row := got.Row("x", "rate", "1/s", harness.NoGoal)
	if diff := cmp.Diff(harness.Row{Case: "x", Measure: "rate", Unit: "1/s", Ours: harness.Series{1, 4, 5}, Peer: harness.Series{2, 3, 6}}, row, cmp.AllowUnexported(harness.Goal{})); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
}

func TestSeveralTakeTurns(t *testing.T) {
	var turns []string
	side := func(name string) harness.Side {
		return func(context.Context) (harness.Figures, error) {
			turns = append(turns, name)
			return harness.Figures{"rate": float64(len(turns))}, nil
		}
	}
	e := &harness.Env{Runs: 2, Progress: io.Discard}
	got, err := e.Turns(t.Context(), "x", side("A"), side("B"), side("C"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "A B C B C A"; strings.Join(turns, " ") != want {
		t.Errorf("the sides ran %v, want %s", turns, want)
	}
	want := [][]harness.Figures{{{"rate": 1}, {"rate": 6}}, {{"rate": 2}, {"rate": 4}}, {{"rate": 3}, {"rate": 5}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
}

func TestAFailingSideIsNamed(t *testing.T) {
	fine := func(context.Context) (harness.Figures, error) { return nil, nil }
	broken := func(context.Context) (harness.Figures, error) { return nil, errors.New("no such port") }
	e := &harness.Env{Runs: 2, Progress: io.Discard}
	_, err := e.Interleave(t.Context(), "fan-out", fine, broken)
	if want := "fan-out, run 1: no such port"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestSeries(t *testing.T) {
	for _, tc := range []struct {
		series harness.Series
		want   string
	}{
		{nil, "–"},
		{harness.Series{3}, "3"},
		{harness.Series{0.1234, 0.2}, "0.16 (0.12–0.20)"},
		{harness.Series{9, 1, 5}, "5 (1–9)"},
		{harness.Series{12345.6}, "12,346"},
		{harness.Series{-1234567}, "-1,234,567"},
		{harness.Series{12.34}, "12.3"},
	} {
		if got := tc.series.String(); got != tc.want {
			t.Errorf("%v is shown as %q, want %q", []float64(tc.series), got, tc.want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, tc := range []struct {
		name       string
		goal       harness.Goal
		ours, peer harness.Series
		want       harness.Verdict
		fails      bool
	}{
		{"no goal", harness.NoGoal, harness.Series{9}, harness.Series{1}, harness.Told, false},
		{"as much as may be", harness.RatioAtMost(1.2), harness.Series{12}, harness.Series{10}, harness.Met, false},
		{"too much", harness.RatioAtMost(1.2), harness.Series{13}, harness.Series{10}, harness.Missed, false},
		{"enough", harness.RatioAtLeast(0.9), harness.Series{9}, harness.Series{10}, harness.Met, false},
		{"too little", harness.RatioAtLeast(0.9), harness.Series{8}, harness.Series{10}, harness.Missed, false},
		{"without a peer's figures", harness.RatioAtLeast(0.9), harness.Series{8}, nil, harness.Missed, false},
		{"below a bound", harness.AtMost(5), harness.Series{4, 5, 9}, nil, harness.Met, false},
		{"above a bound", harness.AtMost(5), harness.Series{4, 6, 9}, nil, harness.Missed, false},
		{"a count", harness.Exactly(0), harness.Series{0, 0}, nil, harness.Met, false},
		{"a count missed once", harness.Exactly(0), harness.Series{0, 0, 1}, nil, harness.Missed, true},
		{"a count not taken", harness.Exactly(0), nil, nil, harness.Missed, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			row := harness.Row{Goal: tc.goal, Ours: tc.ours, Peer: tc.peer}
			if got := row.Verdict(); got != tc.want || row.Fails() != tc.fails {
				t.Errorf("verdict %q, fails %v; want %q, %v", got, row.Fails(), tc.want, tc.fails)
			}
		})
	}
}

func TestThePageKeepsTheOtherParts(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	before := "# Title\n\n<!-- bench:a -->\nold\n<!-- /bench:a -->\n\nbetween\n\n<!-- bench:b -->\nkept\n<!-- /bench:b -->\n"
	if err := os.WriteFile(page, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	r := harness.Result{
		Part: harness.Part{Name: "a", Title: "A", About: "What is done."}, Runs: 1, At: time.Unix(0, 0), Took: time.Minute,
		Machine: harness.Machine{Cores: 2, MemoryGiB: 16, Kernel: "6.1", Go: "go1", Load: "0.10 and 0.20"},
		Rows: []harness.Row{
			{Case: "c", Measure: "rate", Unit: "1/s", Ours: harness.Series{8}, Peer: harness.Series{10}, Goal: harness.RatioAtLeast(0.9), Why: "it does $1 more."},
			{Case: "c", Measure: "lost", Ours: harness.Series{0}, Goal: harness.Exactly(0)},
		},
	}
	if err := r.Update(page); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := `# Title

<!-- bench:a -->
## A

What is done.

*1970-01-01 00:00 UTC, 2 cores, 16 GiB, Linux 6.1, go1, ; median of 1 runs a side (least–most); took 1m0s; load of the machine before and after: 0.10 and 0.20.*

| case | measure | ours | peer | ratio | goal |  |
|---|---|---|---|---|---|---|
| c | rate, 1/s | 8 | 10 | 0.80 | ≥ 0.9 × | missed |
| c | lost | 0 | – |  | 0 | met |

**Missed:** c (rate): it does $1 more.
<!-- /bench:a -->

between

<!-- bench:b -->
kept
<!-- /bench:b -->
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
	r.Part.Name = "c"
	if err := r.Update(page); err == nil || !strings.Contains(err.Error(), "has no place for part c") {
		t.Errorf("a part without a place on the page: %v", err)
	}
}
