package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// passage is what a request on its way to the container carries.
type passage struct {
	turn  *turn
	epoch uint64
	// began is called when the container's answer began: from then on the request ends where its client goes.
	began func()
	// socket is set where the answer switched protocols, and stream where it is one of events.
	socket *socket
	stream *stream
}

type passageKey struct{}

// pass a request on to the container, where this member serves its partition.
func (m *Member) pass(w http.ResponseWriter, r *http.Request) {
	p, err := strconv.Atoi(r.Header.Get(planeconfig.HeaderPartition))
	if err != nil || p < 0 {
		plane.WriteProblem(w, plane.Invalid("send "+planeconfig.HeaderPartition+" with the number of the key's partition; the ShardSet's routers do it for you"))
		return
	}
	var sent uint64
	if text := r.Header.Get(planeconfig.HeaderEpoch); text != "" {
		if sent, err = strconv.ParseUint(text, 10, 64); err != nil {
			plane.WriteProblem(w, plane.Invalid(planeconfig.HeaderEpoch+" must be the epoch of the table that the request was routed by"))
			return
		}
	}
	var body []byte
	short := m.short(r) && m.room.Take(r.ContentLength)
	if short {
		defer m.room.Give(r.ContentLength)
		var ok bool
		if body, ok = m.read(w, r); !ok {
			return
		}
	}
	t := &turn{m: m, partition: p}
	admitted, epoch := m.own.admit(r.Context(), t, sent)
	if !admitted {
		m.metrics.requests.WithLabelValues("misdirected").Inc()
		plane.WriteProblem(w, problemMisdirected(m.own.self, p, epoch))
		return
	}
	defer t.release()
	m.metrics.inFlight.Inc()
	defer m.metrics.inFlight.Dec()
	if short {
		m.direct(w, r, epoch, body, t)
		return
	}
	m.long(w, r, &passage{turn: t, epoch: epoch})
}

// long passes on what may take its time, both ways.
func (m *Member) long(w http.ResponseWriter, r *http.Request, pass *passage) {
	unbound(w)
	ctx, began, end := m.untilAnswered(r.Context())
	defer end()
	// A client that goes does not end what the container has of its request: it counts until the container has answered.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pass.began = began
	pass.turn.ending(func() {
		cancel()
		// Nobody waits for what the client sends still.
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	})
	if !m.opts.Config.Shards.Container.H2C {
		ctx = pass.turn.traced(ctx)
	}
	defer func() {
		if pass.stream != nil {
			pass.stream.finish(cancel)
		}
		if pass.socket != nil {
			_ = pass.socket.Close()
		}
	}()
	m.proxy.ServeHTTP(w, r.WithContext(context.WithValue(ctx, passageKey{}, pass)))
}

// unbound takes off the time limits that the chassis sets for the requests of an API.
func unbound(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Time{})
}

// untilAnswered is a context that outlives its client until the answer began, by drainFor at most. After began it ends
// with ctx.
func (m *Member) untilAnswered(ctx context.Context) (inner context.Context, began, end func()) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	answered := make(chan struct{})
	gone := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(gone)
		timer := time.NewTimer(m.drainFor)
		defer timer.Stop()
		select {
		case <-answered:
		case <-timer.C:
		case <-inner.Done():
		}
		cancel()
	})
	var once bool
	began = func() {
		if !once {
			once = true
			close(answered)
		}
	}
	return inner, began, func() {
		cancel()
		if !stop() {
			<-gone
		}
	}
}

func (m *Member) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: m.local,
		// What is of no known length is flushed as it comes all the same.
		BufferPool: &buffers{},
		ErrorLog:   slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
		Rewrite:    m.rewrite,
		ModifyResponse: func(resp *http.Response) error {
			pass := resp.Request.Context().Value(passageKey{}).(*passage)
			pass.began()
			m.metrics.passed.Inc()
			resp.Header.Del(planeconfig.HeaderNotProcessed)
			resp.Header.Set(planeconfig.HeaderEpoch, strconv.FormatUint(pass.epoch, 10))
			resp.Header.Set(planeconfig.HeaderPartition, strconv.Itoa(pass.turn.partition))
			if resp.StatusCode == http.StatusSwitchingProtocols {
				return m.upgrade(resp, pass)
			}
			pass.stream = m.carryOn(resp.Body, lasting(resp), pass.turn)
			resp.Body = pass.stream
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			m.broken(w, r.Context().Value(passageKey{}).(*passage).turn, err)
		},
	}
}

// buffers through which answers are copied.
type buffers struct{ pool sync.Pool }

const bufferBytes = 32 << 10

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, bufferBytes)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// rewrite leaves all but the tokens and the epoch as they came.
func (m *Member) rewrite(r *httputil.ProxyRequest) {
	pass := r.In.Context().Value(passageKey{}).(*passage)
	r.Out.URL.Scheme, r.Out.URL.Host = m.container.Scheme, m.container.Host
	r.Out.Host = r.In.Host
	// What a router said of the client stays; the proxy takes these off by default.
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v := r.In.Header.Values(name); len(v) > 0 {
			r.Out.Header[name] = v
		}
	}
	if r.In.Header.Get(planeconfig.HeaderMemberToken) == "" {
		// It was admitted by the binding's token, which is no business of the container's.
		r.Out.Header.Del("Authorization")
	}
	r.Out.Header.Del(planeconfig.HeaderMemberToken)
	r.Out.Header.Set(planeconfig.HeaderPartition, strconv.Itoa(pass.turn.partition))
	r.Out.Header.Set(planeconfig.HeaderEpoch, strconv.FormatUint(pass.epoch, 10))
}

// broken answers where the container did not. It says whether the request may have been processed.
func (m *Member) broken(w http.ResponseWriter, t *turn, err error) {
	m.metrics.requests.WithLabelValues("failed").Inc()
	if t.wasCut() {
		plane.WriteProblem(w, m.problemCut(t).Because(err))
		return
	}
	var dial *net.OpError
	var unsent *carry.UnsentError
	if errors.As(err, &unsent) || errors.As(err, &dial) && dial.Op == "dial" {
		plane.WriteProblem(w, plane.NewProblem(http.StatusServiceUnavailable, "container-unreachable", "The shard's container does not answer",
			"the request was not processed; send it again").Because(err).After(time.Second).Header(planeconfig.HeaderNotProcessed, "true"))
		return
	}
	m.log.Debug("a request broke off", "error", err)
	plane.WriteProblem(w, plane.NewProblem(http.StatusBadGateway, "outcome-unknown", "The shard's container broke off",
		"the request may have been processed, or not; look before you send it again, or send it with an Idempotency-Key that the container knows").Because(err))
}

func problemMisdirected(self string, p int, epoch uint64) *plane.Problem {
	return plane.NewProblem(http.StatusMisdirectedRequest, "misdirected", "This shard does not serve the partition",
		fmt.Sprintf("%s does not serve partition %d by its table of epoch %d; the request was not processed: get a newer table and send it again", self, p, epoch)).
		Header(planeconfig.HeaderEpoch, strconv.FormatUint(epoch, 10)).Header(planeconfig.HeaderNotProcessed, "true")
}
