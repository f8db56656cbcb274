package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/pkg/ring"
)

// KeyHeader of a request has its key.
const KeyHeader = "X-Key"

// requestTimeout bounds a request; a partition that is away for longer is an error to its clients.
const requestTimeout = 20 * time.Second

// CountParams are those of clients that count.
type CountParams struct {
	// Routers' addresses; the clients are spread over them.
	Routers []string
	Token   string
	// Partitions that there are; there are KeysOfEach of each.
	Partitions, KeysOfEach int
	// Clients have keys of their own, each those of one partition, and wait for an answer before they send again.
	Clients int
	// PerSecond requests of all of them together.
	PerSecond int
}

// Counted is what came of it.
type Counted struct {
	Answers, Failed int
	// Wrong are answers other than one more than the key's answer before.
	Wrong int
	// Longest time until an answer, of each partition.
	Longest map[int]time.Duration
	// Why is the first failure.
	Why string
}

// At says what became of each key.
type At struct {
	Key       string
	Partition int
	// Shard that answered, and what the counter is there; Want is what it has to be.
	Shard       string
	Value, Want int
}

// Clients count until they are told to stop.
type Clients struct {
	params CountParams
	client *http.Client
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	counted Counted
	keys    [][]string
	values  map[string]int
}

// keysOf finds keys of each partition.
func keysOf(partitions, each int) [][]string {
	out := make([][]string, partitions)
	for found, i := 0, 0; found < partitions*each; i++ {
		key := fmt.Sprintf("customer-%d", i)
		if n := ring.PartitionOf(key, partitions); len(out[n]) < each {
			out[n] = append(out[n], key)
			found++
		}
	}
	return out
}

// Begin to count.
func (c *Clients) Begin(_ context.Context, p CountParams) (any, error) {
	if p.Clients%p.Partitions != 0 || p.KeysOfEach%(p.Clients/p.Partitions) != 0 {
		return nil, fmt.Errorf("%d clients cannot share %d keys of each of %d partitions evenly", p.Clients, p.KeysOfEach, p.Partitions)
	}
	c.params, c.keys, c.values = p, keysOf(p.Partitions, p.KeysOfEach), map[string]int{}
	c.counted = Counted{Longest: map[int]time.Duration{}}
	c.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: p.Clients, DisableCompression: true}}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	each := p.KeysOfEach / (p.Clients / p.Partitions)
	for i := range p.Clients {
		partition, part := i%p.Partitions, i/p.Partitions
		keys := c.keys[partition][part*each : (part+1)*each]
		c.wg.Go(func() { c.run(ctx, i, partition, keys) })
	}
	return nil, nil
}

// Reset forgets the longest times.
func (c *Clients) Reset(context.Context, struct{}) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counted.Longest = map[int]time.Duration{}
	return nil, nil
}

// Look at what was counted so far.
func (c *Clients) Look(context.Context, struct{}) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.counted
	out.Longest = maps.Clone(out.Longest)
	return out, nil
}

// End the counting, and ask once for every key.
func (c *Clients) End(ctx context.Context, _ struct{}) (any, error) {
	c.close()
	var out []At
	for n, keys := range c.keys {
		for i, key := range keys {
			shard, value, err := c.ask(ctx, c.params.Routers[i%len(c.params.Routers)], key, "?read=1")
			if err != nil {
				return nil, fmt.Errorf("ask for %s in the end: %w", key, err)
			}
			out = append(out, At{key, n, shard, value, c.values[key]})
		}
	}
	return out, nil
}

func (c *Clients) close() {
	if c.stop != nil {
		c.stop()
		c.wg.Wait()
	}
}

// run counts at a steady pace, one request after the other.
func (c *Clients) run(ctx context.Context, i, partition int, keys []string) {
	every := time.Duration(c.params.Clients) * time.Second / time.Duration(c.params.PerSecond)
	// So that not all of them send at one moment.
	timer := time.NewTimer(every * time.Duration(i) / time.Duration(c.params.Clients))
	defer timer.Stop()
	router := c.params.Routers[i%len(c.params.Routers)]
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(every)
		key := keys[n%len(keys)]
		began := time.Now()
		// What was begun is not broken off at the end: whether it counted would be unknown.
		_, value, err := c.ask(context.WithoutCancel(ctx), router, key, "")
		c.note(partition, key, value, err, time.Since(began))
	}
}

func (c *Clients) note(partition int, key string, value int, err error, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.counted
	r.Longest[partition] = max(r.Longest[partition], took)
	if err != nil {
		if r.Failed++; r.Why == "" {
			r.Why = err.Error()
		}
		return
	}
	r.Answers++
	if c.values[key]++; value != c.values[key] {
		if r.Wrong++; r.Why == "" {
			r.Why = fmt.Sprintf("%s is %d after %d increments that were acknowledged", key, value, c.values[key])
		}
	}
}

func (c *Clients) ask(ctx context.Context, router, key, query string) (shard string, value int, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+router+"/counters/"+key+query, http.NoBody)
	if err != nil {
		return "", 0, err
	}
	req.Header.Set(KeyHeader, key)
	req.Header.Set("Authorization", "Bearer "+c.params.Token)
	resp, err := c.client.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status + ": " + string(body[:min(len(body), 500)]))
	}
	if err != nil {
		return "", 0, err
	}
	value, err = strconv.Atoi(string(body))
	return resp.Header.Get(ShardHeader), value, err
}
