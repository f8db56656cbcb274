package front

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// body of a request. A proxy's transport may read it beside the handler, and still when that is over.
type body struct {
	c *conn
	// mu is held while it is read.
	mu    sync.Mutex
	left  int64
	ended atomic.Bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ended.Load():
		return 0, http.ErrBodyReadAfterClose
	case b.left == 0:
		return 0, io.EOF
	}
	n, err := b.c.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		b.c.arm()
		err = io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// waits reports whether some of it has not arrived.
func (b *body) waits() bool {
	if b == nil {
		return false
	}
	if !b.mu.TryLock() {
		// Somebody waits for it.
		return true
	}
	defer b.mu.Unlock()
	return b.left > 0 && b.left > int64(b.c.r.Buffered())
}

// end has nothing of it be read any more: what follows on the connection is another request.
func (b *body) end() {
	if b == nil {
		return
	}
	b.ended.Store(true)
	if !b.mu.TryLock() {
		b.c.readUntil(longAgo)
		b.mu.Lock()
		b.c.readUntil(time.Time{})
	}
	b.mu.Unlock()
}

// Close implements io.Closer.
func (b *body) Close() error { return nil }
