package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// modeHook has the data of partitions carried over by the container's hooks.
const modeHook = "Hook"

// shownOfBody is how much of what a container says of a failure is told further.
const shownOfBody = 200

// hooks are what a container is asked to do to a partition as a whole. What it did instead is what their errors say.
type hooks struct {
	paths     planeconfig.ShardResharding
	live      atomic.Pointer[planeconfig.ShardResharding]
	member    string
	container *url.URL
	via       http.RoundTripper
	// patience with an answer that nobody waits for any more.
	patience time.Duration
}

func (h *hooks) set(r planeconfig.ShardResharding) { h.live.Store(&r) }

func (h *hooks) resharding() planeconfig.ShardResharding {
	if r := h.live.Load(); r != nil {
		return *r
	}
	return h.paths
}

// carry reports whether data is carried over.
func (h *hooks) carry() bool { return h.resharding().Mode == modeHook }

// request of the container about partition p, at the epoch: the container's fencing token. After an export at an epoch
// it is to refuse requests of the partition with a lower one.
func (h *hooks) request(ctx context.Context, method, path string, p int, epoch uint64, body io.Reader) (*http.Request, string, error) {
	path = strings.ReplaceAll(path, "{partition}", strconv.Itoa(p))
	ref, err := url.Parse(path)
	if err != nil {
		return nil, path, fmt.Errorf("the path %q is none: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, h.container.ResolveReference(ref).String(), body)
	if err != nil {
		return nil, path, err
	}
	req.Header.Set(planeconfig.HeaderPartition, strconv.Itoa(p))
	req.Header.Set(planeconfig.HeaderEpoch, strconv.FormatUint(epoch, 10))
	return req, fmt.Sprintf("%s %s to the container of %s", method, path, h.member), nil
}

// export begins to read the partition's data. The body is nil where there is none: a container says so by 204. A 200
// without a body is refused, as it may be the answer of one that failed.
func (h *hooks) export(ctx context.Context, p int, epoch uint64) (io.ReadCloser, error) {
	req, what, err := h.request(ctx, http.MethodGet, h.resharding().ExportPath, p, epoch, nil)
	if err != nil {
		return nil, err
	}
	resp, err := h.via.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("%s: it did not answer: %w", what, err)
	}
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil, resp.Body.Close()
	case http.StatusOK:
		return &exported{body: resp.Body, what: what, declared: resp.ContentLength}, nil
	}
	return nil, refused(what, resp)
}

// exported is the body of an export; its errors say that it was the container that broke off.
type exported struct {
	body     io.ReadCloser
	what     string
	declared int64
	read     int64
}

// Read implements io.Reader.
func (e *exported) Read(b []byte) (int, error) {
	n, err := e.body.Read(b)
	e.read += int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && e.read == 0:
		return n, fmt.Errorf("%s: it answered 200 without a body; a partition without data is answered by 204", e.what)
	case errors.Is(err, io.EOF):
		return n, io.EOF
	case e.declared >= 0:
		return n, fmt.Errorf("%s: it broke off after %d of %d bytes: %w", e.what, e.read, e.declared, err)
	}
	return n, fmt.Errorf("%s: it broke off after %d bytes: %w", e.what, e.read, err)
}

// Close implements io.Closer.
func (e *exported) Close() error { return e.body.Close() }

// load replaces what the container has of the partition by data. A container takes the data at its proper end only, so
// data that fails leaves what was there. Once all of it is sent the answer is waited for even where ctx ends, up to the
// container's drain timeout: it may be at work.
func (h *hooks) load(given context.Context, p int, epoch uint64, data io.Reader) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(given))
	defer cancel()
	limit := time.AfterFunc(h.patience, cancel)
	limit.Stop()
	defer limit.Stop()
	body := &watched{Reader: data, whenWhole: func() { limit.Reset(h.patience) }}
	// One that does not even take the data is not waited for.
	stop := context.AfterFunc(given, func() {
		if !body.whole() {
			cancel()
		}
	})
	defer stop()
	// The transport closes the connection where the body fails.
	req, what, err := h.request(ctx, http.MethodPut, h.resharding().ImportPath, p, epoch, body)
	if err != nil {
		return err
	}
	resp, err := h.via.RoundTrip(req)
	switch {
	case body.failure() != nil:
		if err == nil {
			_ = resp.Body.Close()
		}
		if body.held() {
			return fmt.Errorf("%s: it took %d bytes in time, and no more: %w", what, body.bytes.Load(), body.failure())
		}
		return body.failure()
	case err != nil:
		return fmt.Errorf("%s: it did not answer, after %d bytes: %w", what, body.bytes.Load(), err)
	case resp.StatusCode/100 != 2:
		return refused(what, resp)
	case !body.whole():
		_ = resp.Body.Close()
		return fmt.Errorf("%s: it answered %d before it had read all of the data, after %d bytes", what, resp.StatusCode, body.bytes.Load())
	}
	return drained(what, resp)
}

// drop has the container forget the partition. One that knows nothing of it may say 404 or 410.
func (h *hooks) drop(ctx context.Context, p int, epoch uint64) error {
	if !h.carry() {
		return nil
	}
	req, what, err := h.request(ctx, http.MethodDelete, h.resharding().ExportPath, p, epoch, nil)
	if err != nil {
		return err
	}
	resp, err := h.via.RoundTrip(req)
	switch {
	case err != nil:
		return fmt.Errorf("%s: it did not answer: %w", what, err)
	case resp.StatusCode/100 == 2, resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		return drained(what, resp)
	}
	return refused(what, resp)
}

// refused names the status, and the beginning of what was said with it.
func refused(what string, resp *http.Response) error {
	defer func() { _ = resp.Body.Close() }()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, shownOfBody))
	return fmt.Errorf("%s: it answered %d: %q", what, resp.StatusCode, strings.TrimSpace(string(said)))
}

// drained reads an answer to its end, so that the connection is used again.
func drained(what string, resp *http.Response) error {
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil {
		return fmt.Errorf("%s: its answer broke off: %w", what, err)
	}
	return nil
}

// watched is a body that is sent; it knows whether it came to its end.
type watched struct {
	io.Reader
	bytes atomic.Int64
	end   atomic.Pointer[error]
	// whenWhole is called at the proper end.
	whenWhole func()
	// returned is when the last Read did; waiting is how long reads took, holding how long it was not read.
	returned         time.Time
	waiting, holding atomic.Int64
}

// held reports whether it waited longer for who reads it than for what is read.
func (w *watched) held() bool { return w.holding.Load() > w.waiting.Load() }

// Read implements io.Reader.
func (w *watched) Read(b []byte) (int, error) {
	began := time.Now()
	if !w.returned.IsZero() {
		w.holding.Add(int64(began.Sub(w.returned)))
	}
	n, err := w.Reader.Read(b)
	w.returned = time.Now()
	w.waiting.Add(int64(w.returned.Sub(began)))
	w.bytes.Add(int64(n))
	if err != nil && w.end.CompareAndSwap(nil, &err) && errors.Is(err, io.EOF) {
		w.whenWhole()
	}
	return n, err
}

// WriteTo implements io.WriterTo, for the transport: it would take less at once.
func (w *watched) WriteTo(to io.Writer) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{w}, make([]byte, carryBuffer))
}

func (w *watched) whole() bool {
	err := w.end.Load()
	return err != nil && errors.Is(*err, io.EOF)
}

func (w *watched) failure() error {
	if err := w.end.Load(); err != nil && !errors.Is(*err, io.EOF) {
		return *err
	}
	return nil
}
