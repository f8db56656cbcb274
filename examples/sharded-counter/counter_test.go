package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// shard is a process of the counter, over a folder that outlives it.
type shard struct {
	t       *testing.T
	service *service
	url     string
	stop    func()
	exited  chan int
}

func start(t *testing.T, dir, member string, faults map[int]*fault) *shard {
	t.Helper()
	store, err := openStore(dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	s := &shard{t: t, exited: make(chan int, 1)}
	s.service = &service{store: store, member: member, faults: faults, exit: func(code int) {
		s.exited <- code
		panic(http.ErrAbortHandler)
	}}
	server := httptest.NewServer(s.service.handler())
	s.url = server.URL
	s.stop = sync.OnceFunc(func() {
		server.Close()
		store.close()
	})
	t.Cleanup(s.stop)
	return s
}

// ask and return the status and the answer; 0 where the connection broke.
func (s *shard) ask(method, path, body string, headers ...string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, string(text)
	}
	return resp.StatusCode, string(text)
}

// increment a counter of partition 7 in epoch 4.
func (s *shard) increment(key, id string) answer {
	s.t.Helper()
	return s.counter(http.MethodPost, "/counters/"+key+"/increment", headerIdempotency, id)
}

func (s *shard) read(key string) answer {
	s.t.Helper()
	return s.counter(http.MethodGet, "/counters/"+key+"/value")
}

func (s *shard) counter(method, path string, headers ...string) (out answer) {
	s.t.Helper()
	status, text := s.ask(method, path, "", append(headers, headerPartition, "7", headerEpoch, "4")...)
	if status != http.StatusOK {
		s.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		s.t.Fatal(err)
	}
	return out
}

func equal[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestCounts(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, "one", nil)
	want := answer{Key: "a", Value: 1, Partition: 7, Epoch: 4, Member: "one"}
	equal(t, "the first", want, s.increment("a", "x"))
	want.Again = true
	equal(t, "the first again", want, s.increment("a", "x"))
	equal(t, "the second", 2, s.increment("a", "y").Value)
	equal(t, "another counter", 1, s.increment("b", "x").Value)

	s.stop()
	s = start(t, dir, "two", nil)
	equal(t, "read after a restart", answer{Key: "a", Value: 2, Partition: 7, Epoch: 4, Member: "two"}, s.read("a"))
	equal(t, "the first again, after a restart", want, s.increment("a", "x"))
	for i := range 3 {
		s.increment("a", fmt.Sprint(i))
	}
	equal(t, "an operation that is forgotten", 6, s.increment("a", "x").Value)
	_, text := s.ask(http.MethodGet, "/counters/a/operations", "", headerPartition, "7")
	equal(t, "operations", `[{"id":"1","value":4,"epoch":4,"member":"two"},{"id":"2","value":5,"epoch":4,"member":"two"},{"id":"x","value":6,"epoch":4,"member":"two"}]`,
		strings.TrimSpace(text))
}

func TestAtOnce(t *testing.T) {
	s := start(t, t.TempDir(), "one", nil)
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			// Each operation comes twenty times, and no more of them than are remembered.
			status, text := s.ask(http.MethodPost, "/counters/a/increment", "", headerPartition, "7", headerIdempotency, fmt.Sprint(i%3))
			if status != http.StatusOK {
				t.Errorf("%d %s", status, text)
			}
		})
	}
	all.Wait()
	equal(t, "counted", 3, s.read("a").Value)
}

// A line that the disk has half of was never acknowledged, and one in the middle that is none is damage.
func TestCutShort(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, "one", nil)
	s.increment("a", "x")
	s.increment("a", "y")
	s.stop()
	path := filepath.Join(dir, "7"+extension)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < 20; cut++ {
		overwrite(t, path, whole[:len(whole)-1-cut])
		s = start(t, dir, "one", nil)
		equal(t, "what is whole", 1, s.read("a").Value)
		equal(t, "what was not", 2, s.increment("a", "y").Value)
		s.stop()
		s = start(t, dir, "one", nil)
		equal(t, "both", 2, s.read("a").Value)
		s.stop()
	}
	overwrite(t, path, append([]byte("nonsense\n"), whole...))
	if _, err := openStore(dir, 3); err == nil {
		t.Error("a damaged file was read")
	}
}

func overwrite(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCompacts(t *testing.T) {
	p, err := readPartition(filepath.Join(t.TempDir(), "7"+extension), 3)
	if err != nil {
		t.Fatal(err)
	}
	p.lines = compactAfter
	for i := range 4 {
		if _, _, err := p.increment("a", operation{ID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	again, err := readPartition(p.path, 3)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "lines", 3, again.lines) // that of the first two, and two more
	equal(t, "value", 4, again.counters["a"].value)
	equal(t, "operations", []operation{{ID: "1", Value: 2}, {ID: "2", Value: 3}, {ID: "3", Value: 4}}, again.counters["a"].done)
}

// A partition moves with all that is remembered of it, and replaces what its new owner had before.
func TestMoves(t *testing.T) {
	from, dir := start(t, t.TempDir(), "from", nil), t.TempDir()
	to := start(t, dir, "to", nil)
	from.increment("a", "x")
	from.increment("b", "x")
	to.increment("old", "x")
	_, exported := from.ask(http.MethodGet, "/partitions/7", "")
	for range 2 {
		if status, text := to.ask(http.MethodPut, "/partitions/7", exported); status != http.StatusNoContent {
			t.Fatalf("import: %d %s", status, text)
		}
	}
	for range 2 {
		if status, text := from.ask(http.MethodDelete, "/partitions/7", ""); status != http.StatusNoContent {
			t.Fatalf("drop: %d %s", status, text)
		}
	}
	equal(t, "what the former owner has", map[int]int{}, from.service.store.sizes())
	equal(t, "what the new owner had", 0, to.read("old").Value)
	equal(t, "asked for again after the move", answer{Key: "a", Value: 1, Partition: 7, Epoch: 4, Member: "from", Again: true}, to.increment("a", "x"))
	to.stop()
	to = start(t, dir, "to", nil)
	equal(t, "what the new owner has after a restart", map[int]int{7: 2}, to.service.store.sizes())
	equal(t, "the next", 2, to.increment("a", "y").Value)
	equal(t, "at the former owner it begins anew", 1, from.increment("a", "y").Value)
}

// What was sent before a move began comes too late, at the former owner and at the new one.
func TestFences(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		s := start(t, t.TempDir(), "one", nil)
		s.increment("a", "x")
		if status, text := s.ask(method, "/partitions/7", `{"end":true}`, headerEpoch, "5"); status >= 300 {
			t.Fatalf("%s: %d %s", method, status, text)
		}
		for epoch, want := range map[string]int{"4": http.StatusMisdirectedRequest, "5": http.StatusOK} {
			for _, path := range []string{"/counters/a/value", "/counters/a/operations"} {
				if status, text := s.ask(http.MethodGet, path, "", headerPartition, "7", headerEpoch, epoch); status != want {
					t.Errorf("after %s, %s in epoch %s: %d %s", method, path, epoch, status, text)
				}
			}
			if status, text := s.ask(http.MethodPost, "/counters/a/increment", "", headerPartition, "7", headerEpoch, epoch); status != want {
				t.Errorf("after %s, an increment in epoch %s: %d %s", method, epoch, status, text)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	s := start(t, t.TempDir(), "one", nil)
	s.increment("a", "x")
	_, whole := s.ask(http.MethodGet, "/partitions/7", "")
	lines := strings.SplitAfter(whole, "\n")
	for name, tc := range map[string]struct {
		method, path, body string
		headers            []string
		want               int
	}{
		"no partition":         {method: http.MethodGet, path: "/counters/a/value", want: http.StatusBadRequest},
		"a strange partition":  {method: http.MethodGet, path: "/counters/a/value", headers: []string{headerPartition, "seven"}, want: http.StatusBadRequest},
		"a strange epoch":      {method: http.MethodGet, path: "/counters/a/value", headers: []string{headerPartition, "7", headerEpoch, "-1"}, want: http.StatusBadRequest},
		"a giant operation":    {method: http.MethodPost, path: "/counters/a/increment", headers: []string{headerPartition, "7", headerIdempotency, strings.Repeat("x", 201)}, want: http.StatusBadRequest},
		"export of what":       {method: http.MethodGet, path: "/partitions/16384", want: http.StatusBadRequest},
		"import to where":      {method: http.MethodPut, path: "/partitions/-1", want: http.StatusBadRequest},
		"an import of nothing": {method: http.MethodPut, path: "/partitions/7", want: http.StatusUnprocessableEntity},
		"an import cut short":  {method: http.MethodPut, path: "/partitions/7", body: lines[0], want: http.StatusUnprocessableEntity},
		"an import with holes": {method: http.MethodPut, path: "/partitions/7", body: lines[1], want: http.StatusUnprocessableEntity},
	} {
		t.Run(name, func(t *testing.T) {
			if status, text := s.ask(tc.method, tc.path, tc.body, tc.headers...); status != tc.want {
				t.Errorf("%d %s", status, text)
			}
		})
	}
	equal(t, "what was counted", 1, s.read("a").Value)
}

// What FAULTS says is done, and only to that partition.
func TestFaults(t *testing.T) {
	faults, err := parseFaults("1:export-cut,2:export-lies,3:export-dies,4:import-refuses,6:import-dies,8:import-refuses:0,9:slow")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, t.TempDir(), "one", faults)
	whole := `{"end":true,"counters":0}`
	for name, tc := range map[string]struct {
		method, path string
		want         int
		text         string
		exits        bool
	}{
		"healthy export": {method: http.MethodGet, path: "/partitions/7", want: http.StatusOK, text: whole + "\n"},
		"export cut":     {method: http.MethodGet, path: "/partitions/1"},
		"export lies":    {method: http.MethodGet, path: "/partitions/2", want: http.StatusOK},
		"export dies":    {method: http.MethodGet, path: "/partitions/3", exits: true},
		"healthy import": {method: http.MethodPut, path: "/partitions/7", want: http.StatusNoContent},
		"import refuses": {method: http.MethodPut, path: "/partitions/4", want: http.StatusInternalServerError, text: "told to refuse\n"},
		"import is over": {method: http.MethodPut, path: "/partitions/8", want: http.StatusNoContent},
		"import dies":    {method: http.MethodPut, path: "/partitions/6", exits: true},
	} {
		t.Run(name, func(t *testing.T) {
			status, text := s.ask(tc.method, tc.path, whole)
			if status != tc.want || status != 0 && text != tc.text {
				t.Errorf("%d %q", status, text)
			}
			if tc.exits {
				<-s.exited
				if status, text := s.ask(tc.method, tc.path, whole); status >= 300 || status == 0 {
					t.Errorf("the second time: %d %q", status, text)
				}
			}
		})
	}
	for _, wrong := range []string{"1:sulks", "x:slow", "1", "1:slow:often", "1:slow:1:1"} {
		if _, err := parseFaults(wrong); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

// What is under way when the process is told to end is answered, and readiness fails meanwhile.
func TestDrains(t *testing.T) {
	store, err := openStore(t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	defer store.close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{store: store, member: "one"}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, s) }()
	body, under := io.Pipe()
	answered := make(chan int, 1)
	go func() {
		req, _ := http.NewRequest(http.MethodPut, "http://"+listener.Addr().String()+"/partitions/7", body)
		// The body is sent once somebody reads it.
		req.Header.Set("Expect", "100-continue")
		resp, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute, DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	if _, err := io.WriteString(under, `{"end":`); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.WriteString(under, `true}`); err != nil {
		t.Fatal(err)
	}
	_ = under.Close()
	equal(t, "what was under way", http.StatusNoContent, <-answered)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	equal(t, "readiness", http.StatusServiceUnavailable, w.Code)
}
