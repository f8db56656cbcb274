package machine

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func settingsOfTests() Settings {
	return Settings{
		LeaseTTL: 30 * time.Second, Weights: map[string]int{"high": 4, "low": 1}, Burst: 1,
		DeadRetention: time.Hour, ResultTTL: time.Minute, Sinks: map[string][]string{"all": nil, "ends": {jobs.EventSucceeded, jobs.EventDead}},
	}
}

// scenario draws commands that refer to few jobs, so that they meet.
type scenario struct {
	t   *rapid.T
	now time.Time
	n   int
}

func (sc *scenario) pick(name string, of ...string) string {
	return rapid.SampledFrom(of).Draw(sc.t, name)
}

func (sc *scenario) id() string {
	return fmt.Sprintf("job-%d", rapid.IntRange(1, max(sc.n, 1)).Draw(sc.t, "job"))
}

func (sc *scenario) claim() plane.Claim {
	return plane.Claim{ID: sc.id(), Token: rapid.Int64Range(1, 3).Draw(sc.t, "token")}
}

func (sc *scenario) job() NewJob {
	sc.n++
	n := NewJob{Content: Content{Type: mediaJSON, Data: []byte(`{"a":1}`), Size: 7}}
	n.ID, n.Type, n.Priority = fmt.Sprintf("job-%d", sc.n), sc.pick("type", "a", "b"), sc.pick("priority", "high", "low", "gone")
	n.OrderingKey, n.Timeout, n.MaxAttempts = sc.pick("key", "", "x", "y"), time.Minute, 3
	n.IdempotencyKey = sc.pick("idempotency", "", "", "", "same")
	n.Metadata = map[string]string{"k": sc.pick("metadata", "1", "2")}
	if rapid.Bool().Draw(sc.t, "later") {
		n.RunAt = sc.now.Add(time.Duration(rapid.IntRange(0, 20).Draw(sc.t, "in")) * time.Second)
	}
	return n
}

func (sc *scenario) verdict() plane.Verdict {
	return plane.Verdict{Status: jobs.Status(sc.pick("verdict", "retrying", "dead", "cancelled")), RetryAt: sc.now.Add(5 * time.Second)}
}

func (sc *scenario) command() Command {
	sc.now = sc.now.Add(time.Duration(rapid.IntRange(0, 9000).Draw(sc.t, "ms")) * time.Millisecond)
	switch rapid.IntRange(0, 19).Draw(sc.t, "command") {
	case 0, 1, 2, 3:
		return &Submit{Now: sc.now, Batch: []NewJob{sc.job(), sc.job()}}
	case 4, 5, 6:
		c := &Lease{Now: sc.now, Worker: "w", Max: rapid.IntRange(1, 3).Draw(sc.t, "max")}
		if rapid.Bool().Draw(sc.t, "typed") {
			c.Types = []string{sc.pick("type", "a", "b", "none")}
		}
		return c
	case 7:
		return &Extend{Now: sc.now, Claim: sc.claim(), Progress: &jobs.Progress{Percent: 12.5, Message: "on", At: sc.now}}
	case 8, 9:
		return &Complete{Now: sc.now, Claim: sc.claim(), Result: Content{Type: "text/plain", Data: []byte("x"), Size: 1}}
	case 10, 11:
		return &Fail{Now: sc.now, Claim: sc.claim(), Outcome: jobs.OutcomeFailed, Error: "no", Verdict: sc.verdict(), IfCancelled: sc.verdict()}
	case 12:
		return &Release{Now: sc.now, Claim: sc.claim()}
	case 13:
		return &Cancel{Now: sc.now, ID: sc.id()}
	case 14:
		return &Retry{Now: sc.now, ID: sc.id()}
	case 15:
		return &Delete{ID: sc.id()}
	case 16:
		return &Redrive{Now: sc.now, Filter: jobs.Filter{Type: "a"}, Max: 2, Interval: time.Second}
	case 17:
		return &Take{Now: sc.now, Sink: sc.pick("sink", "all", "ends", "none"), Max: 3, TTL: 10 * time.Second}
	case 18:
		return sc.setting()
	default:
		j := sc.job()
		return &Fire{Now: sc.now, Name: "s", At: sc.now, Job: &j}
	}
}

func (sc *scenario) setting() Command {
	switch rapid.IntRange(0, 3).Draw(sc.t, "setting") {
	case 0:
		return &Pause{Paused: rapid.Bool().Draw(sc.t, "paused")}
	case 1:
		return &Purge{Now: sc.now, Max: 2}
	case 2:
		return &Sent{Sink: "all", IDs: []string{"job-1-1.accepted", "job-1-2.started"}}
	}
	s := settingsOfTests()
	s.Ordered = rapid.Bool().Draw(sc.t, "ordered")
	if rapid.Bool().Draw(sc.t, "limited") {
		s.Interval, s.Burst = time.Second, 2
	}
	return &Configure{Settings: s}
}

// A state that went through bytes at every step is the same as one that did not, and both keep their promises.
func TestReplicasAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sc := &scenario{t: t, now: epoch}
		one, other := New(), New()
		for step := range rapid.IntRange(1, 80).Draw(t, "steps") {
			c := Command(&Configure{Settings: settingsOfTests()})
			if step > 0 {
				c = sc.command()
			}
			read, err := Commands(Append(nil, c))
			if err != nil || len(read) != 1 {
				t.Fatalf("%#v is read as %v, %v", c, read, err)
			}
			result, _ := one.Apply(c)
			same, _ := other.Apply(read[0])
			if d := cmp.Diff(result, same, cmpopts.EquateErrors()); d != "" {
				t.Fatalf("%#v differs (-one +other):\n%s", c, d)
			}
			if step%5 == 0 {
				other = throughBytes(t, other)
			}
			if a, b := one.Snapshot(), other.Snapshot(); !bytes.Equal(a, b) {
				t.Fatalf("after %#v the states differ:\n%s", c, cmp.Diff(a, b))
			}
			checkPromises(t, one, sc.now)
		}
	})
}

func throughBytes(t *rapid.T, s *State) *State {
	restored, err := Restore(s.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	return restored
}

// checkPromises fails where a state is not what its jobs say.
func checkPromises(t *rapid.T, s *State, now time.Time) {
	var depth [statusCount]int64
	running, oldest := map[string]int{}, map[string]*job{}
	placed := 0
	for _, k := range s.classes {
		placed += k.ready.len()
	}
	for _, p := range []*pile{s.delayed, s.blocked, s.running, s.done, s.dead} {
		placed += p.len()
		for i := 1; i < p.len(); i++ {
			if p.less(p.jobs[i], p.jobs[(i-1)/2]) {
				t.Fatalf("a pile is out of order at %d", i)
			}
		}
	}
	for _, j := range s.jobs {
		depth[j.status]++
		if o := oldest[j.key]; !j.status.terminal() && (o == nil || j.seq < o.seq) {
			oldest[j.key] = j
		}
		if j.status.terminal() != (j.finished != 0) {
			t.Fatalf("%s is %s and finished at %d", j.id, statuses[j.status], j.finished)
		}
		if j.place.jobs[j.pos[byPlace]] != j {
			t.Fatalf("%s is not where it should be", j.id)
		}
		if j.status == isRunning {
			running[j.key]++
		}
	}
	if placed != len(s.jobs) || depth != s.depth {
		t.Fatalf("%d jobs, %d of them in piles, by status %v, counted as %v", len(s.jobs), placed, depth, s.depth)
	}
	if !s.settings.Ordered {
		return
	}
	for _, k := range s.classes {
		for _, j := range k.ready.jobs {
			if j.key != "" && (oldest[j.key] != j || running[j.key] > 0) {
				t.Fatalf("%s may be leased before %s of its key, or beside one that runs", j.id, oldest[j.key].id)
			}
		}
	}
	for key, j := range oldest {
		if key != "" && running[key] == 0 && j.due && j.place != j.class.ready {
			t.Fatalf("%s is the oldest of its key and due, and can not be leased", j.id)
		}
	}
}

// isRunning is the status, where a variable has its name.
const isRunning = running
