package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
)

// probe tells, until ctx ends, whether the table is known and the container answers.
func (m *Member) probe(ctx context.Context) {
	for ctx.Err() == nil {
		m.opts.Reachable(m.look(ctx))
		m.kept.Expire(time.Now().Add(-carry.IdleLimit))
		pause(ctx, m.opts.Probe)
	}
}

func (m *Member) look(ctx context.Context) error {
	if !m.own.known() {
		return errors.New("the table of partitions is not known yet: the routers write it once one of them runs")
	}
	if problem := m.own.standing(); problem != nil {
		return problem
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	path := m.opts.Config.Shards.Container.ReadyPath
	if path == "" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.container.Host)
		if err != nil {
			return fmt.Errorf("the container does not listen: %w", err)
		}
		return conn.Close()
	}
	u := m.container.JoinPath(path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := m.local.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("the container does not answer GET %s: %w", path, err)
	}
	if resp.StatusCode/100 != 2 {
		return refused("GET "+path, resp)
	}
	return drained("GET "+path, resp)
}
