package realtimeclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/test/e2e/history"
)

// finishWithin is how long a stopping publisher tries to get its last message acknowledged.
const finishWithin = 60 * time.Second

// PublisherConfig says what is published where.
type PublisherConfig struct {
	Address string
	Token   string
	Room    string
	// Name begins the IDs of the messages, and so their idempotency keys.
	Name string
	// Every is the pace.
	Every time.Duration
}

// Publisher publishes one message after another.
type Publisher struct {
	cfg  PublisherConfig
	http *http.Client
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	ledger  history.Ledger
	stall   time.Duration
	retries int
	trouble error
}

// StartPublisher publishes until Stop is called or ctx ends.
func StartPublisher(ctx context.Context, cfg PublisherConfig) *Publisher {
	run, stop := context.WithCancel(ctx)
	p := &Publisher{cfg: cfg, http: newHTTP(), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.run(run, ctx)
	}()
	return p
}

// Stop has the last message acknowledged and returns what was published.
func (p *Publisher) Stop() history.Ledger {
	p.stop()
	<-p.done
	p.http.CloseIdleConnections()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ledger
}

// Acknowledged counts the messages that were.
func (p *Publisher) Acknowledged() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ledger.Acknowledged)
}

// Stall is the longest time that one message took to be acknowledged, Retries
// the attempts that failed.
func (p *Publisher) Stall() (longest time.Duration, retries int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stall, p.retries
}

// Err is what the last failed attempt said.
func (p *Publisher) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trouble
}

// run publishes until ctx is done; whole ends also the message under way.
func (p *Publisher) run(ctx, whole context.Context) {
	tick := time.NewTicker(p.cfg.Every)
	defer tick.Stop()
	for n := 1; ctx.Err() == nil; n++ {
		if !p.publish(ctx, whole, fmt.Sprintf("%s-%d", p.cfg.Name, n)) {
			return
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// publish tries until the message is acknowledged or refused for good.
func (p *Publisher) publish(ctx, whole context.Context, id string) bool {
	whole, cancel := context.WithCancel(whole)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(finishWithin, cancel) })()
	began, wait := time.Now(), retryFirst
	for {
		at, err := p.attempt(whole, id)
		if err == nil {
			p.acknowledged(id, at, time.Since(began))
			return true
		}
		p.failed(err)
		var refused *Refusal
		if errors.As(err, &refused) && refused.Final() {
			return false
		}
		if whole.Err() != nil {
			p.unknown(id)
			return false
		}
		pause(whole, wait)
		wait = min(2*wait, retryMost)
	}
}

func (p *Publisher) attempt(ctx context.Context, id string) (history.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return Publish(ctx, p.http, p.cfg.Address, p.cfg.Token, p.cfg.Room, id)
}

// Publish sends one message once, and returns where it was stored.
func Publish(ctx context.Context, client *http.Client, address, token, room, id string) (history.Position, error) {
	var reply struct {
		Position string `json:"position"`
	}
	target := fmt.Sprintf("http://%s/v1/rooms/%s/messages", address, room)
	body := map[string]any{"data": map[string]string{"id": id}}
	if _, err := do(ctx, client, http.MethodPost, target, token, http.Header{"Idempotency-Key": {id}}, body, &reply, http.StatusCreated); err != nil {
		return history.Position{}, err
	}
	return history.ParsePosition(reply.Position)
}

func (p *Publisher) acknowledged(id string, at history.Position, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ledger.Acknowledged = append(p.ledger.Acknowledged, history.Acknowledged{ID: id, At: at})
	p.stall = max(p.stall, took)
}

func (p *Publisher) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retries++
	p.trouble = err
}

func (p *Publisher) unknown(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ledger.Unknown = append(p.ledger.Unknown, id)
}
