package overload_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	classHeader  = "X-Class"
	keyHeader    = "X-Key"
	numberHeader = "X-Number"
	// useful is how long a client waits for an answer. One that comes later is of no use.
	useful = 2 * time.Second
)

var classes = []string{"gold", "silver", "bronze"}

// result of the requests of one class and shard.
type result struct {
	Sent, Good, Shed, Late, Failed int
	// refusals are how long it took to be refused.
	refusals []time.Duration
	// good are the numbers of the requests that were answered in time.
	good []string
}

func (r *result) share() float64 { return float64(r.Good) / float64(max(r.Sent, 1)) }

func (r *result) String() string {
	return fmt.Sprintf("%d of %d answered in time, %d shed, %d late, %d failed", r.Good, r.Sent, r.Shed, r.Late, r.Failed)
}

// clients of a router. Each request has a number of its own.
type clients struct {
	front  *front
	client *http.Client

	mu      sync.Mutex
	number  int
	results map[string]*result
}

func newClients(f *front) *clients {
	transport := &http.Transport{MaxIdleConnsPerHost: 500, DialContext: f.network.dial}
	return &clients{front: f, client: &http.Client{Transport: transport}}
}

// stream is so many requests a second, of a class and for a shard.
type stream struct {
	class, shard string
	perSecond    float64
}

func (s stream) name() string { return s.class + " of " + s.shard }

// send streams for some time and wait for every answer. The results are by class and shard.
func (c *clients) send(long time.Duration, streams ...stream) map[string]*result {
	c.results = map[string]*result{}
	began := time.Now()
	var all sync.WaitGroup
	for _, s := range streams {
		c.results[s.name()] = &result{}
		all.Go(func() {
			every := time.Duration(float64(time.Second) / s.perSecond)
			for i := range int(long / every) {
				time.Sleep(time.Until(began.Add(time.Duration(i) * every)))
				all.Go(func() { c.one(s) })
			}
		})
	}
	all.Wait()
	return c.results
}

// closed has so many clients send one request after another, and says how many were answered a second, in how long.
func (c *clients) closed(long time.Duration, many int, s stream) (perSecond float64, took time.Duration) {
	c.results = map[string]*result{s.name(): {}}
	began := time.Now()
	var all sync.WaitGroup
	for range many {
		all.Go(func() {
			for time.Since(began) < long {
				c.one(s)
			}
		})
	}
	all.Wait()
	took = time.Since(began)
	return float64(len(c.good())) / took.Seconds(), took
}

// good are the numbers of the requests that were answered in time, of those sent last.
func (c *clients) good() (numbers []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.results {
		numbers = append(numbers, r.good...)
	}
	return numbers
}

func (c *clients) one(s stream) {
	c.mu.Lock()
	c.number++
	number := fmt.Sprint(c.number)
	c.mu.Unlock()
	began := time.Now()
	status, again := c.do(s, number)
	took := time.Since(began)

	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.results[s.name()]
	r.Sent++
	switch {
	case status == http.StatusNoContent && took <= useful:
		r.Good++
		r.good = append(r.good, number)
	case status == http.StatusNoContent || status == 0 && took >= useful:
		r.Late++
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		r.Shed++
		r.refusals = append(r.refusals, took)
		if again == "" {
			// It can not be told when to try again.
			r.Failed++
		}
	default:
		r.Failed++
	}
}

func (c *clients) do(s stream, number string) (status int, again string) {
	ctx, cancel := context.WithTimeout(context.Background(), useful)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+frontAddress+"/", nil)
	if err != nil {
		return 0, ""
	}
	req.Header.Set(classHeader, s.class)
	req.Header.Set(keyHeader, c.front.keys[s.shard])
	req.Header.Set(numberHeader, number)
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("Retry-After")
}

func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}
