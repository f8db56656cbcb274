package load

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// ListenParams say how many shards there are to be, how many requests each serves at once, and how long each takes.
type ListenParams struct {
	Shards, Slots int
	Takes         time.Duration
}

// shards listen until their process ends.
type shards struct{ servers []*http.Server }

// Listen starts shards at ports of loopback and returns their addresses.
func (s *shards) Listen(_ context.Context, p ListenParams) (any, error) {
	var addresses []string
	for range p.Shards {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("listen as a shard: %w", err)
		}
		server := &http.Server{Handler: shard(p), ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = server.Serve(l) }()
		s.servers = append(s.servers, server)
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// shard refuses nothing: what it can not serve yet waits, for as long as who sent it does.
func shard(p ListenParams) http.Handler {
	slots := make(chan struct{}, p.Slots)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		defer func() { <-slots }()
		time.Sleep(p.Takes)
		w.WriteHeader(http.StatusNoContent)
	})
}

func (s *shards) close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
}
