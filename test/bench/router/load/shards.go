package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// ShardHeader of an answer names the shard.
const ShardHeader = "X-Shard"

// answerBytes are the body of an answer.
const answerBytes = 128

// shards listen until their process ends.
type shards struct{ listeners []net.Listener }

// ListenParams say how many shards there are to be.
type ListenParams struct{ Shards int }

// Listen starts shards at ports of loopback and returns their addresses.
func (s *shards) Listen(_ context.Context, p ListenParams) (any, error) {
	var addresses []string
	for i := range p.Shards {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("listen as a shard: %w", err)
		}
		s.listeners = append(s.listeners, l)
		addresses = append(addresses, l.Addr().String())
		answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\n%s: %d\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
			ShardHeader, i, answerBytes, strings.Repeat("x", answerBytes))
		go serve(l, answer)
	}
	return addresses, nil
}

func (s *shards) close() {
	for _, l := range s.listeners {
		_ = l.Close()
	}
}

func serve(l net.Listener, answer []byte) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			r := bufio.NewReader(conn)
			for {
				if skipHead(r) != nil {
					return
				}
				if _, err := conn.Write(answer); err != nil {
					return
				}
			}
		}()
	}
}

// skipHead reads up to the empty line. The requests have no bodies.
func skipHead(r *bufio.Reader) error {
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			return nil
		}
	}
}
