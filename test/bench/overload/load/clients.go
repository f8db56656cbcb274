package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Headers of a request: its key, and its class.
const (
	KeyHeader   = "X-Key"
	ClassHeader = "X-Class"
)

// Useful is how long a client waits for an answer.
const Useful = 2 * time.Second

// keys that are asked for.
const keys = 10_000

// Classes of requests, the most important first.
var Classes = []string{"gold", "silver", "bronze"}

// mix is the class of each request in turn: two tenths of the first, three of the second, five of the last.
var mix = []int{0, 2, 1, 2, 1, 2, 0, 2, 1, 2}

// Phase is a time at a pace.
type Phase struct {
	PerSecond int
	For       time.Duration
}

// SendParams are phases that follow each other without a break.
type SendParams struct {
	Address, Token string
	Phases         []Phase
}

// Sent is what came of the requests of a phase.
type Sent struct {
	Classes []Class
	// Good are how many were answered in time, of each tenth of a second in which they were due, and Due how many these are.
	Good, Due []int
	// Why is the first failure.
	Why string
}

// Class is what came of those of a class.
type Class struct {
	Sent, Good, Shed, Failed int
	// P50 and P99 of the time until an answer, and Refused the median of that until a refusal.
	P50, P99, Refused time.Duration
}

// sender has the results of a phase as they come.
type sender struct {
	params SendParams
	client *http.Client

	mu      sync.Mutex
	results []Sent
	took    [][][]time.Duration
	refused [][][]time.Duration
}

// Step is the time of an entry of Good.
const Step = 100 * time.Millisecond

// Send requests, whether or not those before are answered.
func Send(ctx context.Context, p SendParams) (any, error) {
	s := &sender{params: p, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4096, DisableCompression: true}}}
	defer s.client.CloseIdleConnections()
	for _, phase := range p.Phases {
		steps := int((phase.For + Step - 1) / Step)
		s.results = append(s.results, Sent{Classes: make([]Class, len(Classes)), Good: make([]int, steps), Due: make([]int, steps)})
		s.took, s.refused = append(s.took, make([][]time.Duration, len(Classes))), append(s.refused, make([][]time.Duration, len(Classes)))
	}
	var all sync.WaitGroup
	began := time.Now()
	for i, phase := range p.Phases {
		for n := range int(phase.For.Seconds() * float64(phase.PerSecond)) {
			after := time.Duration(n) * time.Second / time.Duration(phase.PerSecond)
			due := began.Add(after)
			time.Sleep(time.Until(due))
			if ctx.Err() != nil {
				break
			}
			all.Go(func() { s.one(ctx, i, mix[n%len(mix)], int(after/Step), due) })
		}
		began = began.Add(phase.For)
	}
	all.Wait()
	for i := range s.results {
		for class := range Classes {
			c := &s.results[i].Classes[class]
			c.P50, c.P99, c.Refused = quantile(s.took[i][class], 50), quantile(s.took[i][class], 99), quantile(s.refused[i][class], 50)
		}
	}
	return s.results, ctx.Err()
}

// one request. Its time counts from when it was due.
func (s *sender) one(ctx context.Context, phase, class, step int, due time.Time) {
	status, err := s.ask(ctx, class, due)
	took := time.Since(due)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.results[phase]
	c := &r.Classes[class]
	c.Sent++
	r.Due[step]++
	switch {
	case err == nil && status == http.StatusNoContent && took <= Useful:
		c.Good++
		r.Good[step]++
		s.took[phase][class] = append(s.took[phase][class], took)
	case err == nil && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests):
		c.Shed++
		s.refused[phase][class] = append(s.refused[phase][class], took)
	default:
		c.Failed++
		if r.Why == "" {
			r.Why = fmt.Sprintf("%s after %s: %d %v", Classes[class], took, status, err)
		}
	}
}

func (s *sender) ask(ctx context.Context, class int, due time.Time) (int, error) {
	ctx, cancel := context.WithDeadline(ctx, due.Add(Useful))
	defer cancel()
	key := rand.N(keys) //nolint:gosec // any of them
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/customers/%d", s.params.Address, key), nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set(KeyHeader, fmt.Sprintf("customer-%d", key))
	req.Header.Set(ClassHeader, Classes[class])
	req.Header.Set("Authorization", "Bearer "+s.params.Token)
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	err = errors.Join(err, resp.Body.Close())
	if shed := resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests; shed && resp.Header.Get("Retry-After") == "" {
		err = errors.Join(err, errors.New("a refusal that does not say when to come again"))
	}
	return resp.StatusCode, err
}

func quantile(d []time.Duration, percent int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)*percent/100]
}
