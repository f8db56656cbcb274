package realtime

import (
	"context"

	"github.com/centrifugal/centrifuge"

	"github.com/trellis-dev/trellis/internal/plane"
)

// admit lets a request become a connection that is held open: it is within the
// limits, and no longer one of the requests that are served at once. Whoever
// sends a token only later is counted for its client then.
func (g *Gateway) admit(ctx context.Context, protocol string) (*centrifuge.Node, *connection, *plane.Problem) {
	node, problem := g.ready()
	if problem != nil {
		return nil, nil, problem
	}
	conn, problem := g.conns.admit(protocol)
	if problem != nil {
		return nil, nil, problem
	}
	if plane.HasIdentity(ctx) {
		if problem := conn.of(clientKey(plane.IdentityOf(ctx), plane.RemoteAddr(ctx))); problem != nil {
			conn.close()
			return nil, nil, problem
		}
	}
	plane.Hold(ctx)
	return node, conn, nil
}
