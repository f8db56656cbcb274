package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// ShardHeader of an answer is the number of the container.
const ShardHeader = "X-Shard"

// Paths of a container. CopyPath takes what a partition consists of, and does not count with it.
const (
	CounterPath   = "/counters/{key}"
	PartitionPath = "/partitions/{partition}"
	CopyPath      = "/copies/{partition}"
)

// Containers listen until their process ends.
type Containers struct {
	servers []*http.Server
	all     []*container
}

// ListenParams say how many containers there are to be.
type ListenParams struct{ Containers int }

// FillParams are the sizes of the partitions at each container, in bytes.
type FillParams struct{ Sizes []map[int]int }

// Carried says when a partition's data left one container and was in another.
type Carried struct {
	Partition    int
	Began, Ended time.Time
}

// Listen starts containers at ports of loopback and returns their addresses.
func (c *Containers) Listen(_ context.Context, p ListenParams) (any, error) {
	var addresses []string
	for i := range p.Containers {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("listen as a container: %w", err)
		}
		one := &container{number: strconv.Itoa(i), partitions: map[int]*partition{}, copies: map[int]*partition{}}
		s := &http.Server{Handler: one.handler(), ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = s.Serve(l) }()
		c.servers, c.all = append(c.servers, s), append(c.all, one)
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// Fill the containers with partitions in which nothing is counted yet.
func (c *Containers) Fill(_ context.Context, p FillParams) (any, error) {
	for i, sizes := range p.Sizes {
		for n, size := range sizes {
			bulk := make([]byte, size)
			for at := 0; at+8 <= size; at += 8 {
				word := rand.Uint64() //nolint:gosec // anything but zeros
				for b := range 8 {
					bulk[at+b] = byte(word >> (8 * b)) //nolint:gosec // a byte of it
				}
			}
			c.all[i].partitions[n] = &partition{counters: map[string]int{}, bulk: bulk}
		}
	}
	return nil, nil
}

// Carried tells what was carried by exports and imports since the last time.
func (c *Containers) Carried(context.Context, struct{}) (any, error) {
	began, out := map[int]time.Time{}, []Carried{}
	for _, one := range c.all {
		one.mu.Lock()
		maps.Copy(began, one.exported)
		one.exported = nil
		one.mu.Unlock()
	}
	for _, one := range c.all {
		one.mu.Lock()
		for n, ended := range one.imported {
			out = append(out, Carried{n, began[n], ended})
		}
		one.imported = nil
		one.mu.Unlock()
	}
	return out, nil
}

func (c *Containers) close() {
	for _, s := range c.servers {
		_ = s.Close()
	}
}

// container keeps all in memory: what is measured is who carries it.
type container struct {
	number string

	mu                 sync.Mutex
	partitions, copies map[int]*partition
	// exported and imported say when an export began last, and an import ended.
	exported, imported map[int]time.Time
}

// partition is counters, and bytes besides, which make its size.
type partition struct {
	counters map[string]int
	bulk     []byte
}

func (c *container) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+CounterPath, c.count)
	mux.HandleFunc("GET "+PartitionPath, c.export)
	mux.HandleFunc("PUT "+PartitionPath, c.load)
	mux.HandleFunc("DELETE "+PartitionPath, func(w http.ResponseWriter, r *http.Request) { c.drop(w, r, c.partitions) })
	mux.HandleFunc("PUT "+CopyPath, c.copyIn)
	mux.HandleFunc("DELETE "+CopyPath, func(w http.ResponseWriter, r *http.Request) { c.drop(w, r, c.copies) })
	return mux
}

// count one more; 0 where the query says so. A partition that is not here has no counters.
func (c *container) count(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.Header.Get(planeconfig.HeaderPartition))
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.partitions[n]
	if err != nil || p == nil {
		http.Error(w, fmt.Sprintf("partition %q is not at container %s", r.Header.Get(planeconfig.HeaderPartition), c.number), http.StatusGone)
		return
	}
	key := r.PathValue("key")
	if r.URL.Query().Get("read") == "" {
		p.counters[key]++
	}
	w.Header().Set(ShardHeader, c.number)
	_, _ = w.Write(strconv.AppendInt(nil, int64(p.counters[key]), 10))
}

func partitionOf(w http.ResponseWriter, r *http.Request) (int, bool) {
	n, err := strconv.Atoi(r.PathValue("partition"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
	return n, err == nil
}

// export is the counters as a line of JSON, then the bytes.
func (c *container) export(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	n, ok := partitionOf(w, r)
	if !ok {
		return
	}
	c.mu.Lock()
	p := c.partitions[n]
	var line []byte
	var err error
	if p != nil {
		line, err = json.Marshal(p.counters)
	}
	// What is carried without an epoch is a copy, not a move.
	if r.Header.Get(planeconfig.HeaderEpoch) != "" {
		set(&c.exported, n, began)
	}
	c.mu.Unlock()
	if p == nil || err != nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	line = append(line, '\n')
	w.Header().Set("Content-Length", strconv.Itoa(len(line)+len(p.bulk)))
	_, _ = w.Write(line)
	_, _ = w.Write(p.bulk)
}

func (c *container) load(w http.ResponseWriter, r *http.Request) {
	n, ok := partitionOf(w, r)
	if !ok || !c.take(w, r, n, c.partitions) {
		return
	}
	c.mu.Lock()
	set(&c.imported, n, time.Now())
	c.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (c *container) copyIn(w http.ResponseWriter, r *http.Request) {
	if n, ok := partitionOf(w, r); ok && c.take(w, r, n, c.copies) {
		w.WriteHeader(http.StatusNoContent)
	}
}

// expected is room for any partition, so that reading one is the same work whether its length was said or not.
const expected = 17 << 20

// take reads a partition to its end before it has any of it.
func (c *container) take(w http.ResponseWriter, r *http.Request, n int, into map[int]*partition) bool {
	data := bytes.NewBuffer(make([]byte, 0, expected))
	p := &partition{}
	_, err := io.Copy(data, r.Body)
	line, found := []byte(nil), false
	if err == nil {
		line, p.bulk, found = bytes.Cut(data.Bytes(), []byte("\n"))
		err = json.Unmarshal(line, &p.counters)
	}
	if err == nil && !found {
		err = errors.New("the partition is cut short")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	into[n] = p
	return true
}

func (c *container) drop(w http.ResponseWriter, r *http.Request, from map[int]*partition) {
	n, ok := partitionOf(w, r)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(from, n)
	w.WriteHeader(http.StatusNoContent)
}

func set(m *map[int]time.Time, n int, at time.Time) {
	if *m == nil {
		*m = map[int]time.Time{}
	}
	(*m)[n] = at
}
