package mover_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// now is a clock of all that happens in a test: it only counts.
var now atomic.Int64

// served is one request that a container carried out.
type served struct {
	partition  int
	epoch      uint64
	member     string
	begun, end int64
}

// counts is what a container has of a partition: counters, and the answers that were given, by the request's ID.
type counts struct {
	Values  map[string]int
	Answers map[string]int
}

// container counts, in memory that outlives its member's process. It checks nothing: that it is asked for what the shard
// owns only is what is tested.
type container struct {
	id string
	// misbehave, where it is set, answers in the place of a hook.
	misbehave atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]

	mu         sync.Mutex
	partitions map[int]*counts
	log        []served
}

// door is how one process of a member reaches its container. What that process sent and was not begun when it is shut is
// never begun: so it is where a container has ended all that a former process asked for.
type door struct {
	container *container
	mu        sync.Mutex
	isShut    bool
	working   sync.WaitGroup
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	if d.isShut {
		d.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	d.working.Add(1)
	d.mu.Unlock()
	defer d.working.Done()
	d.container.ServeHTTP(w, r)
}

// shut waits for what was begun.
func (d *door) shut() {
	d.mu.Lock()
	d.isShut = true
	d.mu.Unlock()
	d.working.Wait()
}

func newContainer(id string) *container {
	return &container{id: id, partitions: map[int]*counts{}}
}

func (c *container) of(p int) *counts {
	if c.partitions[p] == nil {
		c.partitions[p] = &counts{Values: map[string]int{}, Answers: map[string]int{}}
	}
	return c.partitions[p]
}

// ServeHTTP implements http.Handler.
func (c *container) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if key, ok := strings.CutPrefix(r.URL.Path, "/counters/"); ok {
		c.increment(w, r, key)
		return
	}
	if f := c.misbehave.Load(); f != nil && (*f)(w, r) {
		return
	}
	p, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/hook/"))
	if err != nil {
		http.Error(w, "no such path", http.StatusNotFound)
		return
	}
	c.hook(w, r, p)
}

func (c *container) increment(w http.ResponseWriter, r *http.Request, key string) {
	begun := now.Add(1)
	p, err := strconv.Atoi(r.Header.Get(planeconfig.HeaderPartition))
	epoch, err2 := strconv.ParseUint(r.Header.Get(planeconfig.HeaderEpoch), 10, 64)
	if err != nil || err2 != nil || r.Header.Get(planeconfig.HeaderMemberToken) != "" {
		http.Error(w, "the headers are not those of a member", http.StatusInternalServerError)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	has := c.of(p)
	id := r.Header.Get("Idempotency-Key")
	value, again := has.Answers[id]
	if !again {
		has.Values[key]++
		value = has.Values[key]
		has.Answers[id] = value
	}
	c.log = append(c.log, served{p, epoch, c.id, begun, now.Add(1)})
	_, _ = io.WriteString(w, strconv.Itoa(value))
}

func (c *container) hook(w http.ResponseWriter, r *http.Request, p int) {
	switch r.Method {
	case http.MethodGet:
		c.mu.Lock()
		has, ok := c.partitions[p]
		data, err := json.Marshal(has)
		c.mu.Unlock()
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case !ok:
			w.WriteHeader(http.StatusNoContent)
		default:
			_, _ = w.Write(data)
		}
	case http.MethodPut:
		var has counts
		if err := json.NewDecoder(r.Body).Decode(&has); err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.partitions[p] = &has
	case http.MethodDelete:
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.partitions, p)
	}
}

// keys that it has counters of.
func (c *container) keys() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, has := range c.partitions {
		out = slices.AppendSeq(out, maps.Keys(has.Values))
	}
	return out
}
