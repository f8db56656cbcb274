package conformance

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/sinks"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

var sinkTests = []test{
	{"SinksGetEveryEventInOrder", testSinks},
	{"SinksRefuseAndAreSlow", testSinkRefuses},
	{"SinksFilterAndMap", testSinkFilters},
	{"SinksThatLeadRoundEnd", testSinkHops},
}

// receiver is a sink that remembers what it took.
type receiver struct {
	*httptest.Server
	mu sync.Mutex
	// answer is asked before an event is taken; 0 takes it.
	answer func(n int, r *http.Request) int
	calls  int
	taken  map[string][]string
	ids    map[string]int
	header map[string]http.Header
	// hops of each event.
	hops []string
}

func newReceiver(t *testing.T, answer func(n int, r *http.Request) int) *receiver {
	r := &receiver{answer: answer, taken: map[string][]string{}, ids: map[string]int{}, header: map[string]http.Header{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	data, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if code := r.answer(r.calls, req); code == http.StatusTeapot {
		panic(http.ErrAbortHandler)
	} else if code != 0 {
		w.WriteHeader(code)
		return
	}
	var job jobs.Job
	if err := jsonUnmarshal(data, &job); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id := req.Header.Get("Ce-Id")
	if r.ids[id]++; r.ids[id] == 1 {
		r.taken[job.ID] = append(r.taken[job.ID], req.Header.Get("Ce-Type"))
		r.header[req.Header.Get("Ce-Type")] = req.Header
		r.hops = append(r.hops, req.Header.Get("Ce-Trellishops"))
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) of(id string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken[id])
}

func sinkTo(r *receiver, change func(*planeconfig.Sink)) func(*planeconfig.Config) {
	return jobsSection(func(j *planeconfig.Jobs) {
		s := planeconfig.Sink{Name: "test", URL: r.URL + "/in"}
		if change != nil {
			change(&s)
		}
		j.Sinks = append(j.Sinks, s)
	})
}

// testSinks has a receiver that fails in every way at first.
func testSinks(t *testing.T, start Factory) {
	r := newReceiver(t, func(n int, _ *http.Request) int {
		if n <= 12 {
			return []int{503, 500, 429, 401, 404, http.StatusTeapot}[n%6]
		}
		return 0
	})
	c := start(t, Options{Configure: sinkTo(r, func(s *planeconfig.Sink) {
		s.Subject = "'room.' + event.data.?metadata.?team.orValue('none') + '.' + event.data.id"
	})}).client(t)
	good := c.submit(jobs.Submission{Metadata: map[string]string{"team": "a b"}}, "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	l := c.leaseOne()
	c.heartbeat(l, &jobs.Progress{Percent: 5})
	c.complete(l, "1")
	poison := c.submit(jobs.Submission{MaxAttempts: 2})
	c.fail(c.leaseOne(), jobs.FailRequest{})
	c.fail(c.leaseOne(), jobs.FailRequest{})
	want := map[string][]string{
		good.ID:   {jobs.EventAccepted, jobs.EventStarted, jobs.EventProgress, jobs.EventSucceeded},
		poison.ID: {jobs.EventAccepted, jobs.EventStarted, jobs.EventFailed, jobs.EventStarted, jobs.EventFailed, jobs.EventDead},
	}
	for id, types := range want {
		eventually(t, "the events of "+id, func() bool { return len(r.of(id)) >= len(types) })
		if diff := cmp.Diff(types, r.of(id)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.header[jobs.EventProgress]
	if h.Get("Ce-Subject") != "room.a%20b."+good.ID || h.Get("Ce-Specversion") != "1.0" || h.Get("Ce-Source") == "" || h.Get("Ce-Time") == "" || h.Get("Content-Type") != "application/json" ||
		h.Get("Traceparent") == "" || h.Get("Ce-Traceparent") != h.Get("Traceparent") {
		t.Errorf("the headers are %v", h)
	}
}

// testSinkRefuses has an event that is never taken give way, and only the types that are wanted sent.
func testSinkRefuses(t *testing.T, start Factory) {
	r := newReceiver(t, func(_ int, r *http.Request) int {
		if r.Header.Get("Ce-Type") == jobs.EventAccepted {
			return http.StatusUnprocessableEntity
		}
		return 0
	})
	target := start(t, Options{Configure: sinkTo(r, func(s *planeconfig.Sink) { s.Types = []string{jobs.EventAccepted, jobs.EventSucceeded} })})
	c := target.client(t)
	var ids []string
	for i := range 20 {
		ids = append(ids, c.submit(jobs.Submission{Type: fmt.Sprint(i)}).ID)
		c.complete(c.leaseOne(), "1")
	}
	for _, id := range ids {
		eventually(t, "the event of "+id, func() bool { return len(r.of(id)) == 1 })
		if diff := cmp.Diff([]string{jobs.EventSucceeded}, r.of(id)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	}
	if got := target.metric(t, "trellis_sink_dead_letters_total"); got != 20 {
		t.Errorf("%v events were given up, want 20", got)
	}
}

// testSinkFilters has one event in two wanted, another shape of it sent, and one that no expression fits given up.
func testSinkFilters(t *testing.T, start Factory) {
	r := newReceiver(t, func(int, *http.Request) int { return 0 })
	target := start(t, Options{Configure: sinkTo(r, func(s *planeconfig.Sink) {
		s.Types = []string{jobs.EventAccepted}
		s.Filter = "event.data.metadata.n != '1'"
		s.Data = "{'id': event.data.id, 'status': event.data.status, 'metadata': {'was': event.data.metadata.n}}"
	})})
	c := target.client(t)
	first := c.submit(jobs.Submission{Metadata: map[string]string{"n": "0"}})
	other := c.submit(jobs.Submission{Metadata: map[string]string{"n": "1"}})
	c.submit(jobs.Submission{})
	last := c.submit(jobs.Submission{Metadata: map[string]string{"n": "2"}})
	for _, id := range []string{first.ID, last.ID} {
		eventually(t, "the event of "+id, func() bool { return len(r.of(id)) == 1 })
	}
	eventually(t, "a dead letter", func() bool { return target.metric(t, "trellis_sink_dead_letters_total") == 1 })
	eventually(t, "an event that is not wanted", func() bool { return target.metric(t, "trellis_sink_filtered_total") == 1 })
	if got := r.of(other.ID); len(got) != 0 {
		t.Errorf("%v was sent all the same", got)
	}
	if got := target.metric(t, planeconfig.MetricSinkDeadLetters); got != 1 {
		t.Errorf("%v dead letters of late, want 1", got)
	}
}

// testSinkHops: what a job tells counts the sinks that its event came through, and what came through too many goes nowhere.
func testSinkHops(t *testing.T, start Factory) {
	r := newReceiver(t, func(int, *http.Request) int { return 0 })
	target := start(t, Options{Configure: sinkTo(r, func(s *planeconfig.Sink) { s.Types = []string{jobs.EventAccepted} })})
	c := target.client(t)
	for i, hops := range []int{0, sinks.MaxHops - 1, sinks.MaxHops, sinks.MaxHops + 1} {
		want := http.StatusNoContent
		if hops > sinks.MaxHops {
			want = http.StatusBadRequest
		}
		c.must(want, http.MethodPost, planeconfig.EventsPath, []byte(`{}`), "Ce-Specversion", "1.0", "Ce-Id", fmt.Sprint(i), "Ce-Source", "/test", "Ce-Type", "t",
			"Ce-"+sinks.AttributeHops, fmt.Sprint(hops))
	}
	eventually(t, "a dead letter", func() bool { return target.metric(t, "trellis_sink_dead_letters_total") == 1 })
	eventually(t, "the others", func() bool { return target.metric(t, "trellis_sink_events_total") == 2 })
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.hops)
	if diff := cmp.Diff([]string{"1", fmt.Sprint(sinks.MaxHops)}, r.hops); diff != "" {
		t.Errorf("hops (-want +got):\n%s", diff)
	}
}
