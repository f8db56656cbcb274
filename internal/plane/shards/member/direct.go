package member

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// shortBody is the longest one that is read before its request is passed on, in bytes.
const shortBody = 64 << 10

// writeStall is how long the sender may take to read what was written for it. A router gives its own client a third of that.
const writeStall = 3 * time.Minute

var errSwitched = errors.New("the container switched to a protocol that was not asked for")

// short reports whether a request, as nearly all are, needs no more of its container than an answer: it goes the short
// way. A long body is passed on as it comes.
func (m *Member) short(r *http.Request) bool {
	switch {
	case m.opts.Config.Shards.Container.H2C, r.Method == http.MethodConnect:
		return false
	case r.Header["Upgrade"] != nil, r.Header["Expect"] != nil:
		return false
	}
	return r.ContentLength >= 0 && r.ContentLength <= shortBody
}

// read the body of a short request, before anything of it counts as under way. Where ok is false, the problem was
// answered.
func (m *Member) read(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	if r.ContentLength == 0 {
		return nil, true
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(plane.BodyTimeout))
	body = make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		plane.WriteProblem(w, plane.BrokenBody(err).Header(planeconfig.HeaderNotProcessed, "true"))
		return nil, false
	}
	_ = rc.SetReadDeadline(time.Time{})
	return body, true
}

// direct passes a short request on, which is counted. A client that goes does not end what the container has of it: it
// counts until the container has answered, or was at it for the time that a request may be in flight.
func (m *Member) direct(w http.ResponseWriter, r *http.Request, epoch uint64, body []byte, t *turn) {
	partition, own := strconv.Itoa(t.partition), strconv.FormatUint(epoch, 10)
	h := r.Header
	carry.DropForHop(h)
	if h.Get(planeconfig.HeaderMemberToken) == "" {
		// It was admitted by the binding's token, which is no business of the container's.
		delete(h, "Authorization")
	}
	for _, name := range []string{planeconfig.HeaderMemberToken, planeconfig.HeaderPartition, planeconfig.HeaderEpoch} {
		delete(h, name)
	}
	to := &carry.Client{W: w, Stall: writeStall, HTTP2: r.ProtoMajor == 2}
	y, err := m.ask(r.Context(), t, &carry.Request{
		In: r, URI: carry.URIOf(r), Body: body, Patience: m.drainFor,
		Added:  []carry.Field{{Name: planeconfig.HeaderPartition, Value: partition}, {Name: planeconfig.HeaderEpoch, Value: own}},
		Inform: to.Inform, Holder: t,
	})
	if err == nil && y.StatusCode == http.StatusSwitchingProtocols {
		y.Finish(false)
		err = errSwitched
	}
	if err != nil {
		m.broken(w, t, err)
		return
	}
	m.metrics.passed.Inc()
	delete(y.Header, planeconfig.HeaderNotProcessed)
	y.Header[planeconfig.HeaderEpoch], y.Header[planeconfig.HeaderPartition] = []string{own}, []string{partition}
	y.Unhurried(r.Context())
	announced := to.Head(y)
	finish := m.answering(y, t)
	err = to.Body(y, y.ContentLength < 0 || carry.Endless(y.Header), math.MaxInt, func() {})
	to.Trailers(y, announced)
	finish(err == nil)
	if err != nil {
		// The client has to see that something is missing.
		panic(http.ErrAbortHandler)
	}
}

// ask the container, once more where a connection that was kept turned out to be closed: then the others are so too, as
// after a restart. What may have been done is sent twice only if that is harmless.
func (m *Member) ask(ctx context.Context, t *turn, o *carry.Request) (*carry.Reply, error) {
	y, err := m.kept.Exchange(ctx, m.dial, m.container.Host, o)
	var unsent *carry.UnsentError
	var closed *carry.ClosedError
	if err == nil || t.wasCut() {
		return y, err
	}
	if errors.As(err, &unsent) && !unsent.Unreachable || errors.As(err, &closed) && carry.Harmless(o.In) {
		m.kept.Drop(m.container.Host)
		return m.kept.Exchange(ctx, m.dial, m.container.Host, o)
	}
	return y, err
}
