package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"time"
)

const dialTimeout = 5 * time.Second

// forwarder passes connections from sockets of the host's network namespace on to addresses of the member's own. A
// socket stays in the namespace that it was made in, so neither side needs an interface that leads to the other.
type forwarder struct {
	dialer net.Dialer

	mu       sync.Mutex
	forwards []Forward
}

// newForwarder returns a forwarder that looks its targets' names up at dns, anew for each connection: a Service that
// was deleted and made again is found at its new address.
func newForwarder(dns string) *forwarder {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, dns)
	}}
	return &forwarder{dialer: net.Dialer{Timeout: dialTimeout, Resolver: resolver}}
}

// add takes over the listening socket in file.
func (f *forwarder) add(file *os.File, target string) error {
	listener, err := net.FileListener(file)
	file.Close()
	if err != nil {
		return fmt.Errorf("taking over a listening socket: %w", err)
	}
	f.mu.Lock()
	f.forwards = append(f.forwards, Forward{Listen: listener.Addr().String(), Target: target})
	f.mu.Unlock()
	go f.accept(listener, target)
	return nil
}

func (f *forwarder) list() []Forward {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Forward(nil), f.forwards...)
}

func (f *forwarder) accept(listener net.Listener, target string) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, for one
			log.Printf("accepting for %s: %v", target, err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go f.connect(conn, target)
	}
}

func (f *forwarder) connect(outside net.Conn, target string) {
	defer outside.Close()
	inside, err := f.dialer.Dial("tcp", target)
	if err != nil {
		log.Printf("forwarding to %s: %v", target, err)
		return
	}
	defer inside.Close()
	var both sync.WaitGroup
	both.Go(func() { pass(inside, outside) })
	both.Go(func() { pass(outside, inside) })
	both.Wait()
}

// pass copies one direction and hands its end on, so that a side may stop sending and still receive. When a direction
// breaks, both connections are closed, or the other direction would wait for ever.
func pass(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
