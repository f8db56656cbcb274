// Command demo publishes to a room of a RealtimeGateway and shows the message
// arrive at clients that poll, long-poll, stream over SSE and hold a WebSocket.
// TRELLIS_URL and TRELLIS_TOKEN say where and as whom.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// patience bounds the whole exchange.
const patience = 30 * time.Second

// texts are what is published, in this order.
var texts = []string{"hello", "from one publisher", "to four kinds of client"}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := client{base: os.Getenv("TRELLIS_URL"), token: os.Getenv("TRELLIS_TOKEN"), room: "demo"}
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// arrival is a message as one client got it.
type arrival struct {
	protocol string
	message  message
	at       time.Time
	err      error
}

func run(ctx context.Context, c client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	since, err := c.position(ctx)
	if err != nil {
		return fmt.Errorf("ask for the room's position: %w", err)
	}
	arrivals := make(chan arrival, 64)
	ready := make(chan string, len(receivers))
	for _, r := range receivers {
		go func() {
			err := r.receive(ctx, c, since, ready, func(m message) {
				arrivals <- arrival{protocol: r.name, message: m, at: time.Now()}
			})
			if ctx.Err() == nil {
				arrivals <- arrival{protocol: r.name, err: errors.Join(errors.New("the client ended"), err)}
			}
		}()
	}
	for range receivers {
		select {
		case name := <-ready:
			fmt.Printf("  %-12s is connected\n", name)
		case a := <-arrivals:
			return fmt.Errorf("%s: %w", a.protocol, a.err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return exchange(ctx, c, arrivals)
}

// exchange publishes each text and waits until every client has it.
func exchange(ctx context.Context, c client, arrivals <-chan arrival) error {
	last := map[string]uint64{}
	for _, text := range texts {
		sent := time.Now()
		offset, err := c.publish(ctx, text)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		fmt.Printf("\n  published #%d %q\n", offset, text)
		for range receivers {
			select {
			case a := <-arrivals:
				if err := check(a, offset, last); err != nil {
					return err
				}
				fmt.Printf("    %-12s #%d %q after %4d ms\n", a.protocol, a.message.Offset, a.message.Data.Text, max(0, a.at.Sub(sent).Milliseconds()))
			case <-ctx.Done():
				return fmt.Errorf("message #%d did not reach everyone: %w", offset, ctx.Err())
			}
		}
	}
	fmt.Printf("\n  %d messages, %d clients: each got every message once, in one order\n", len(texts), len(receivers))
	return nil
}

// check refuses what is lost, doubled or out of order.
func check(a arrival, want uint64, last map[string]uint64) error {
	if a.err != nil {
		return fmt.Errorf("%s: %w", a.protocol, a.err)
	}
	if a.message.Offset != want || last[a.protocol] >= want {
		return fmt.Errorf("%s got message #%d where #%d was due", a.protocol, a.message.Offset, want)
	}
	last[a.protocol] = want
	return nil
}
