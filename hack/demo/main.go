// Command demo publishes to a room of a RealtimeGateway and shows the message
// arrive at clients that poll, long-poll, stream over SSE and hold a WebSocket.
// What breaks on the way is tried again, as any client of the contract would.
// TRELLIS_URL and TRELLIS_TOKEN say where and as whom. With the argument report, it submits a
// job to the JobQueue at TRELLIS_QUEUE_URL, as TRELLIS_QUEUE_TOKEN, and follows it in a room. With the argument video, it
// uploads a clip to the BlobBucket at TRELLIS_BUCKET_URL, as TRELLIS_BUCKET_TOKEN, whose store answers at TRELLIS_STORE, and
// follows that. With the argument count, it counts at the ShardSet at TRELLIS_URL
// while the command after it has that grow from the number of shards that is said before.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

const (
	// patience bounds the whole exchange.
	patience = 3 * time.Minute
	// pause before something that failed is tried again.
	pause = 200 * time.Millisecond
)

// texts are what is published, in this order.
var texts = []string{"hello", "from one publisher", "to four kinds of client"}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := client{base: os.Getenv("TRELLIS_URL"), token: os.Getenv("TRELLIS_TOKEN"), room: "demo"}
	if err := do(ctx, c, os.Args[1:]...); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// do what the argument says; without one, the exchange.
func do(ctx context.Context, c client, args ...string) error {
	switch {
	case len(args) == 0:
		return run(ctx, c)
	case args[0] == "report":
		c.room = "reports-ada"
		queue, err := jobs.NewClient(jobs.Options{URL: os.Getenv("TRELLIS_QUEUE_URL"), Token: jobs.StaticToken(os.Getenv("TRELLIS_QUEUE_TOKEN"))})
		if err != nil {
			return err
		}
		return report(ctx, c, queue)
	case args[0] == "video":
		return video(ctx, c, client{base: os.Getenv("TRELLIS_BUCKET_URL"), token: os.Getenv("TRELLIS_BUCKET_TOKEN")})
	case args[0] == "count" && len(args) > 2:
		from, err := strconv.Atoi(args[1])
		if err != nil {
			return fmt.Errorf("how many shards there are first: %w", err)
		}
		return count(ctx, c, from, args[2:]...)
	}
	return fmt.Errorf("there is no %q: say report, video, count with a number of shards and a command, or nothing", args[0])
}

// arrival is a message as one client got it.
type arrival struct {
	protocol string
	message  message
	at       time.Time
}

func run(ctx context.Context, c client) error {
	var clients sync.WaitGroup
	defer clients.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	since := ""
	if err := again(ctx, func() (err error) { since, err = c.position(ctx); return err }); err != nil {
		return fmt.Errorf("ask for the room's position: %w", err)
	}
	arrivals := make(chan arrival, 64)
	ready, failed := make(chan string, len(receivers)), make(chan error, len(receivers))
	for _, r := range receivers {
		clients.Go(func() { failed <- follow(ctx, c, r, since, ready, arrivals) })
	}
	for range receivers {
		select {
		case name := <-ready:
			fmt.Printf("  %-12s is connected\n", name)
		case err := <-failed:
			return err
		}
	}
	return exchange(ctx, c, arrivals, failed)
}

// follow receives until ctx ends, and resumes after the last message whenever something broke.
func follow(ctx context.Context, c client, r receiver, since string, ready chan<- string, arrivals chan<- arrival) error {
	var first sync.Once
	err := again(ctx, func() error {
		err := r.receive(ctx, c, since, func() { first.Do(func() { ready <- r.name }) }, func(m message) {
			since = m.Position
			arrivals <- arrival{protocol: r.name, message: m, at: time.Now()}
		})
		return errors.Join(errors.New("the connection ended"), err)
	})
	return fmt.Errorf("%s: %w", r.name, err)
}

// again repeats what fails until it succeeds or ctx ends, and says then what it failed of.
func again(ctx context.Context, do func() error) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// exchange publishes each text and waits until every client has it.
func exchange(ctx context.Context, c client, arrivals <-chan arrival, failed <-chan error) error {
	last := map[string]uint64{}
	for _, text := range texts {
		sent, key, offset := time.Now(), rand.Text(), uint64(0)
		if err := again(ctx, func() (err error) { offset, err = c.publish(ctx, text, key); return err }); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		fmt.Printf("\n  published #%d %q\n", offset, text)
		for range receivers {
			select {
			case a := <-arrivals:
				if err := check(a, offset, last); err != nil {
					return err
				}
				fmt.Printf("    %-12s #%d %q after %4d ms\n", a.protocol, a.message.Offset, a.message.text(), max(0, a.at.Sub(sent).Milliseconds()))
			case err := <-failed:
				return fmt.Errorf("message #%d did not reach everyone: %w", offset, err)
			}
		}
	}
	fmt.Printf("\n  %d messages, %d clients: each got every message once, in one order\n", len(texts), len(receivers))
	return nil
}

// check refuses what is lost, doubled or out of order.
func check(a arrival, want uint64, last map[string]uint64) error {
	if a.message.Offset != want || last[a.protocol] >= want {
		return fmt.Errorf("%s got message #%d where #%d was due", a.protocol, a.message.Offset, want)
	}
	last[a.protocol] = want
	return nil
}
