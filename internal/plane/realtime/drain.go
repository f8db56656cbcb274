package realtime

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/centrifugal/centrifuge"
)

const (
	// drainPoll is how often Drain looks at what is still to be done.
	drainPoll = 10 * time.Millisecond
	// drainPace is the time between two clients that are sent away, where the
	// time is enough for it: who comes back has a place to open elsewhere, and the
	// engine a history to read.
	drainPace = 10 * time.Millisecond
)

// Drain tells every client to reconnect, one after another, and waits for them
// to be gone. What is left when the time is nearly over is told at once.
func (g *Gateway) Drain(ctx context.Context) {
	c := g.core.Load()
	if c == nil {
		return
	}
	if c.broker.owned != nil {
		if err := c.broker.owned.Leave(ctx); err != nil {
			g.log.Warn("the rooms of this replica get other owners when it is gone", "error", err)
		}
	}
	g.sendAway(ctx, c.node)
	if err := c.node.Shutdown(ctx); err != nil {
		g.log.Warn("not all clients could be told to reconnect", "error", err)
	}
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for g.conns.count() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sendAway disconnects the clients in no order, spread over time.
func (g *Gateway) sendAway(ctx context.Context, node *centrifuge.Node) {
	connected := node.Hub().Connections()
	clients := make([]*centrifuge.Client, 0, len(connected))
	for _, client := range connected {
		clients = append(clients, client)
	}
	rand.Shuffle(len(clients), func(i, j int) { clients[i], clients[j] = clients[j], clients[i] })

	began := time.Now()
	spread := drainSpread(len(clients), remaining(ctx, began))
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for sent := 0; ; {
		for due := dueBy(len(clients), spread, time.Since(began)); sent < due; sent++ {
			clients[sent].Disconnect(centrifuge.DisconnectShutdown)
		}
		if sent == len(clients) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func remaining(ctx context.Context, now time.Time) time.Duration {
	until, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return until.Sub(now)
}

// drainSpread is the time over which n clients are sent away: at drainPace, but
// not for more than half of the time that there is.
func drainSpread(n int, left time.Duration) time.Duration {
	return max(0, min(time.Duration(n)*drainPace, left/2))
}

// dueBy is how many of n clients are to be gone after a part of the spread.
func dueBy(n int, spread, elapsed time.Duration) int {
	if elapsed >= spread {
		return n
	}
	return int(float64(n) * float64(elapsed) / float64(spread))
}
