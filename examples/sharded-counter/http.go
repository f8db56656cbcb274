package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
)

// What comes with each request: the partition that its key is of, and the epoch of the table by which this shard owns it.
const (
	headerPartition   = "Trellis-Partition"
	headerEpoch       = "Trellis-Epoch"
	headerIdempotency = "Idempotency-Key"
)

// maxPartitions bounds a partition's number.
const maxPartitions = 1 << 14

// service is the counters by HTTP.
type service struct {
	store *store
	// member is the name of this pod.
	member string
	faults map[int]*fault
	// exit ends the process.
	exit    func(int)
	leaving atomic.Bool
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /counters/{key}/increment", s.increment)
	mux.HandleFunc("GET /counters/{key}/value", s.read)
	mux.HandleFunc("GET /counters/{key}/operations", s.operations)
	mux.HandleFunc("GET /partitions", s.list)
	mux.HandleFunc("GET /partitions/{partition}", s.export)
	mux.HandleFunc("POST /partitions/{partition}", s.load)
	mux.HandleFunc("PUT /partitions/{partition}", s.load)
	mux.HandleFunc("DELETE /partitions/{partition}", s.drop)
	mux.HandleFunc("GET /readyz", s.ready)
	return mux
}

// answer says what a counter is, and who says so.
type answer struct {
	Key       string `json:"key"`
	Value     int64  `json:"value"`
	Partition int    `json:"partition"`
	// Epoch and Member are of whoever carried the increment out, or read the counter.
	Epoch  uint64 `json:"epoch"`
	Member string `json:"member"`
	// Again is true where this increment was carried out before.
	Again bool `json:"again,omitempty"`
}

func (s *service) increment(w http.ResponseWriter, r *http.Request) {
	n, epoch, err := place(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id := r.Header.Get(headerIdempotency)
	if len(id) > 200 {
		http.Error(w, headerIdempotency+" has more than 200 bytes", http.StatusBadRequest)
		return
	}
	s.faults[n].slow(r.Context())
	key := r.PathValue("key")
	done, again, err := s.store.partition(n).increment(key, operation{ID: id, Epoch: epoch, Member: s.member})
	if err != nil {
		s.fail(w, err)
		return
	}
	write(w, answer{Key: key, Value: done.Value, Partition: n, Epoch: done.Epoch, Member: done.Member, Again: again})
}

func (s *service) read(w http.ResponseWriter, r *http.Request) {
	if n, epoch, c, ok := s.counter(w, r); ok {
		write(w, answer{Key: r.PathValue("key"), Value: c.value, Partition: n, Epoch: epoch, Member: s.member})
	}
}

// operations of a counter that are remembered, the oldest first.
func (s *service) operations(w http.ResponseWriter, r *http.Request) {
	if _, _, c, ok := s.counter(w, r); ok {
		write(w, c.done)
	}
}

func (s *service) counter(w http.ResponseWriter, r *http.Request) (int, uint64, counter, bool) {
	n, epoch, err := place(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return 0, 0, counter{}, false
	}
	s.faults[n].slow(r.Context())
	c, err := s.store.partition(n).read(r.PathValue("key"), epoch)
	if err != nil {
		s.fail(w, err)
		return 0, 0, counter{}, false
	}
	return n, epoch, c, true
}

// list how many counters there are in which partition, for those who look.
func (s *service) list(w http.ResponseWriter, _ *http.Request) { write(w, s.store.sizes()) }

func (s *service) ready(w http.ResponseWriter, _ *http.Request) {
	if s.leaving.Load() {
		http.Error(w, "the process is to end", http.StatusServiceUnavailable)
		return
	}
	write(w, "ready")
}

// fail says that nothing was done, or that something may have been. As a disk failed then, the process ends: another one
// reads what the disk has.
func (s *service) fail(w http.ResponseWriter, err error) {
	if errors.Is(err, errFenced) {
		http.Error(w, err.Error(), http.StatusMisdirectedRequest)
		return
	}
	slog.Error("a request failed", "error", err)
	http.Error(w, err.Error(), http.StatusInternalServerError)
	s.exit(1)
}

// place is the partition and the epoch that a request came with.
func place(r *http.Request) (int, uint64, error) {
	n, err := number(r.Header.Get(headerPartition))
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w; ask by the address of the ShardSet", headerPartition, err)
	}
	epoch, err := epochOf(r)
	return n, epoch, err
}

// epochOf a request; 0 where somebody asks by hand.
func epochOf(r *http.Request) (uint64, error) {
	text := r.Header.Get(headerEpoch)
	if text == "" {
		return 0, nil
	}
	epoch, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", headerEpoch, err)
	}
	return epoch, nil
}

func number(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n >= maxPartitions {
		return 0, fmt.Errorf("%q is no number of a partition", text)
	}
	return n, nil
}

func write(w http.ResponseWriter, what any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(what)
}
