package shardclient

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/trellis-dev/trellis/test/e2e/shardhistory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script answers each request as the next of its lines says, and then as the last does.
type script struct {
	mu    sync.Mutex
	lines []string
	keys  []string // idempotency keys that came
	value int
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.lines[0]
	if len(s.lines) > 1 {
		s.lines = s.lines[1:]
	}
	s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
	switch {
	case line == "break":
		panic(http.ErrAbortHandler)
	case line == "ok" || line == "again":
		if r.Method == http.MethodPost {
			s.value++
		}
		_, _ = fmt.Fprintf(w, `{"key":"k","value":%d,"partition":3,"member":"a","epoch":2,"again":%t}`, s.value, line == "again")
	case line == "nobody":
		_, _ = fmt.Fprint(w, `{"key":"k","value":1}`)
	case strings.HasSuffix(line, " later"):
		w.Header().Set("Retry-After", "0")
		fallthrough
	default:
		status := 0
		_, _ = fmt.Sscan(line, &status)
		w.WriteHeader(status)
	}
}

// follow a script until n operations are over.
func follow(t *testing.T, n int, lines ...string) (*script, []shardhistory.Operation, Trouble) {
	t.Helper()
	s := &script{lines: lines}
	server := httptest.NewServer(s)
	defer server.Close()
	began := time.Now()
	c := Start(t.Context(), Config{
		URL: server.URL, Token: "secret", Keys: []string{"k"}, Number: 1, Every: time.Millisecond, Timeout: time.Minute,
		Since: func() time.Duration { return time.Since(began) },
	})
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.Answered() < n {
		<-tick.C
	}
	operations := c.Stop(time.Minute)[:n]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s, operations, c.Trouble()
}

func TestRepeats(t *testing.T) {
	for name, tc := range map[string]struct {
		lines  []string
		want   Trouble
		faulty bool
	}{
		"at once":              {},
		"refused":              {lines: []string{"503 later", "429 later", "421"}, want: Trouble{Refused: map[int]int{503: 1, 429: 1, 421: 1}}},
		"doubtful":             {lines: []string{"502"}, want: Trouble{Doubtful: 1}},
		"carried out":          {lines: []string{"502", "again"}, want: Trouble{Doubtful: 1, Again: 1}},
		"broken":               {lines: []string{"break"}, want: Trouble{Broken: 1}},
		"refused, nobody said": {lines: []string{"503"}, faulty: true},
		"an error":             {lines: []string{"500"}, faulty: true},
		"by nobody":            {lines: []string{"nobody"}, faulty: true},
		"known at once":        {lines: []string{"again"}, want: Trouble{Again: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s, operations, trouble := follow(t, 2, append(tc.lines, "ok")...)
			if (len(trouble.Faults) > 0) != tc.faulty {
				t.Fatalf("faults: %v", trouble.Faults)
			}
			if tc.faulty {
				return
			}
			if diff := cmp.Diff(tc.want, trouble, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Trouble{}, "Slowest", "Last")); diff != "" {
				t.Errorf("trouble (-want +got):\n%s", diff)
			}
			for _, key := range s.keys[:len(tc.lines)] {
				if key != "1-0" {
					t.Errorf("an attempt had the key %q", key)
				}
			}
			want := []shardhistory.Operation{
				{Client: 1, Key: "k", ID: "1-0", Value: 1, Partition: 3, Member: "a", Epoch: 2},
				{Client: 1, Key: "k", ID: "1-1", Value: 2, Partition: 3, Member: "a", Epoch: 2},
			}
			if diff := cmp.Diff(want, operations, cmpopts.IgnoreFields(shardhistory.Operation{}, "Sent", "Answered")); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
		})
	}
}

// What was sent and never answered is in the history, as it may have been carried out.
func TestUnknown(t *testing.T) {
	s := &script{lines: []string{"502"}}
	server := httptest.NewServer(s)
	defer server.Close()
	c := Start(t.Context(), Config{
		URL: server.URL, Keys: []string{"k"}, Number: 1, Every: time.Millisecond, Timeout: time.Minute,
		Since: func() time.Duration { return time.Hour },
	})
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.Trouble().Doubtful == 0 {
		<-tick.C
	}
	want := []shardhistory.Operation{{Client: 1, Key: "k", ID: "1-0", Sent: time.Hour}}
	if diff := cmp.Diff(want, c.Stop(time.Millisecond)); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}
