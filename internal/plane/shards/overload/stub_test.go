package overload_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// shard is a server that does so many requests at once, each of which takes a time, and has the others wait for as long as it
// takes. It does not notice that a client went away: what it does for one who does not wait any more is lost.
type shard struct {
	workers chan struct{}
	takes   atomic.Int64
	ended   chan struct{}

	mu sync.Mutex
	// busy is how long its workers worked, by the request's number.
	busy map[string]time.Duration
}

func newShard(workers int, takes time.Duration) *shard {
	s := &shard{workers: make(chan struct{}, workers), busy: map[string]time.Duration{}, ended: make(chan struct{})}
	s.takes.Store(int64(takes))
	return s
}

func (s *shard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case s.workers <- struct{}{}:
	case <-s.ended:
		return
	}
	began := time.Now()
	time.Sleep(time.Duration(s.takes.Load()))
	worked := time.Since(began)
	<-s.workers
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[r.Header.Get(numberHeader)] = worked
	w.WriteHeader(http.StatusNoContent)
}

// used is how much of the time of its workers, from 0 to 1, was for these requests. For those that were of use it is the
// goodput, whatever the machine that the test runs on.
func (s *shard) used(numbers []string, long time.Duration) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var worked time.Duration
	for _, n := range numbers {
		worked += s.busy[n]
	}
	return worked.Seconds() / long.Seconds() / float64(cap(s.workers))
}
