package overload_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// network is in the memory of the test: those who wait on it stand still, so that the time of a synctest goes on. A machine
// that is slow changes nothing.
type network struct {
	mu        sync.Mutex
	listeners map[string]*listener
}

func newNetwork() *network { return &network{listeners: map[string]*listener{}} }

// listener of an address.
type listener struct {
	address string
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (n *network) listen(address string) *listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &listener{address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[address] = l
	return l
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("nobody listens at %s", address)
	}
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, fmt.Errorf("nobody listens at %s any more", address)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve h at an address until the test is over. stop waits for what is under way.
func (n *network) serve(address string, h http.Handler) (stop func()) {
	s := &http.Server{Handler: h}
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(n.listen(address)) })
	return func() {
		_ = s.Shutdown(context.Background())
		served.Wait()
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l }

// Network implements net.Addr.
func (l *listener) Network() string { return "memory" }

func (l *listener) String() string { return l.address }
