package router

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
	"github.com/trellis-dev/trellis/internal/plane/shards/overload"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// continueWait is how long a shard has to say that it does not want a body, before that is sent.
	continueWait = time.Second
	// againFirst is how soon a request is sent again that a shard refused unprocessed, if no newer table says so before,
	// and againMost how late at most.
	againFirst = 20 * time.Millisecond
	againMost  = 500 * time.Millisecond
)

// prepare makes the headers those that go on. Who is to be held open needs a place before anything is done.
func (j *job) prepare() *plane.Problem {
	h := j.req.Header
	if strings.EqualFold(h.Get("Upgrade"), "websocket") && carry.HasToken(h["Connection"], "upgrade") && j.req.ProtoMajor == 1 && j.req.ContentLength == 0 {
		j.out.Upgrade = "websocket"
	}
	if (j.out.Upgrade != "" || h.Get("Accept") == carry.EventStream) && !j.stays() {
		return j.r.crowded()
	}
	carry.DropForHop(h)
	for name := range h {
		if ownHeader(name) {
			delete(h, name)
		}
	}
	if ip, _, err := net.SplitHostPort(j.req.RemoteAddr); err == nil {
		if before := h["X-Forwarded-For"]; len(before) > 0 {
			ip = strings.Join(before, ", ") + ", " + ip
		}
		h["X-Forwarded-For"] = []string{ip}
	}
	if h["X-Forwarded-Host"] == nil {
		h["X-Forwarded-Host"] = []string{j.req.Host}
	}
	if h["X-Forwarded-Proto"] == nil {
		h["X-Forwarded-Proto"] = forwardedHTTP
	}
	j.r.plane.TraceOut(j.req.Context(), h)
	j.out.In, j.out.URI, j.out.Added = j.req, carry.URIOf(j.req), j.fields[:0]
	j.out.Inform = (&carry.Client{W: j.w, Stall: writeStall, HTTP2: j.req.ProtoMajor == 2}).Inform
	return nil
}

var forwardedHTTP = []string{"http"}

// ownHeader reports whether a header, by its canonical name, is one that routers and shards alone send. Where a container
// takes headers for variables, as CGI and WSGI do, _ is the same to it as -.
func ownHeader(name string) bool {
	return strings.HasPrefix(name, "Trellis-") || strings.HasPrefix(name, "Trellis_")
}

// step is what follows from an attempt.
type step int

const (
	// over is a request that was answered.
	over step = iota
	// again is one to be sent again at once, later one that was not processed, and may be soon.
	again
	later
)

// forward sends the request to whom it belongs, until it is answered.
func (j *job) forward() {
	j.r.budget.earn(j.s.budget)
	ctx := j.req.Context()
	wait := againFirst
	for retries := 0; ; {
		m, v, problem := j.owner(ctx)
		if problem != nil {
			j.fail(problem)
			return
		}
		address, problem := j.reach(ctx, m)
		if problem != nil {
			j.fail(problem)
			return
		}
		if address == "" {
			continue
		}
		switch j.attempt(ctx, m, v, address, &retries) {
		case over:
			return
		case later:
			if problem := j.await(ctx, v.next, wait); problem != nil {
				j.fail(problem)
				return
			}
			wait = min(2*wait, againMost)
		case again:
		}
	}
}

// owner is who serves the partition. The request is held while nobody does.
func (j *job) owner(ctx context.Context) (*member, *view, *plane.Problem) {
	m, v := j.r.held.free(j.partition)
	if m != nil {
		return m, v, nil
	}
	if j.partition >= len(v.serving) {
		return nil, nil, problemNoTable()
	}
	left := j.hold()
	if left <= 0 {
		return nil, nil, problemHeld()
	}
	return j.r.held.owner(ctx, j.partition, left)
}

// hold notes that the request is held, and returns for how long it may be still.
func (j *job) hold() time.Duration {
	now := time.Now()
	if j.heldSince.IsZero() {
		j.heldSince = now
		j.r.metrics.heldTotal.Inc()
	}
	return j.heldSince.Add(j.s.pause).Sub(now)
}

// reach is the address of a shard. Where the shard can not be reached, the request waits until it can be, or the table
// changes; then it is empty, as all is to be looked at anew.
func (j *job) reach(ctx context.Context, m *member) (string, *plane.Problem) {
	back, since := m.absent()
	if back == nil {
		if address := addressOf(j.r.members, m.id); address != "" {
			return address, nil
		}
		j.r.lost(m, "")
		if back, since = m.absent(); back == nil {
			return "", problemAbsent()
		}
	}
	// Who is gone for longer than anybody waits is not waited for.
	if time.Since(since) > j.s.pause {
		return "", problemAbsent()
	}
	return "", j.await(ctx, back, 0)
}

// await something, or a while where that is above 0; a newer table too.
func (j *job) await(ctx context.Context, what <-chan struct{}, while time.Duration) *plane.Problem {
	left := j.hold()
	if left <= 0 {
		return problemAbsent()
	}
	leave, problem := j.r.held.aside()
	if problem != nil {
		return problem
	}
	defer leave()
	next := j.r.view.Load().next
	timer := time.NewTimer(left)
	defer timer.Stop()
	if while > 0 {
		timer.Reset(min(while, left))
	}
	select {
	case <-what:
	case <-next:
	case <-timer.C:
		if while == 0 {
			return problemAbsent()
		}
	case <-ctx.Done():
		return problemGone(ctx)
	}
	return nil
}

// attempt to have a shard answer the request.
func (j *job) attempt(ctx context.Context, m *member, v *view, address string, retries *int) step {
	if problem := j.ready(); problem != nil {
		j.fail(problem)
		return over
	}
	release, err := j.r.limiter.Admit(ctx, m.id, j.partition, j.class)
	if err != nil {
		j.fail(shedProblem(ctx, err))
		return over
	}
	j.release = release
	if now := j.r.view.Load(); now != v && now.serving[j.partition] != m {
		// The partition went elsewhere while the request had to wait.
		j.done(overload.Ignored)
		return again
	}
	j.out.Added = append(j.out.Added[:0], carry.Field{Name: planeconfig.HeaderPartition, Value: names()[j.partition][0]},
		carry.Field{Name: planeconfig.HeaderEpoch, Value: v.epoch}, carry.Field{Name: planeconfig.HeaderMemberToken, Value: j.r.tokenFor(m)})
	return j.send(ctx, m, address, retries)
}

// send it, and judge what comes of it.
func (j *job) send(ctx context.Context, m *member, address string, retries *int) step {
	j.at = m
	var body *carry.Streamed
	var y *carry.Reply
	var err error
	if j.kept {
		y, err = j.r.exchange(ctx, m, address, &j.out)
	} else {
		up := j.upload()
		body = &carry.Streamed{Body: up}
		y, err = j.r.stream(ctx, address, &j.out, body)
		if stalled := up.ease(); stalled && err != nil {
			j.done(overload.Ignored)
			j.fail(problemSlow().Because(err))
			return over
		}
	}
	if err != nil {
		return j.broken(ctx, m, address, err, body, retries)
	}
	if len(y.Header[planeconfig.HeaderNotProcessed]) > 0 {
		j.done(overload.Ignored)
		y.Discard()
		if y.StatusCode == http.StatusUnauthorized {
			m.behind.Store(!m.behind.Load())
		} else {
			j.r.metrics.moved.Inc()
		}
		if !j.repeatable(body) {
			j.fail(problemUnreplayable())
			return over
		}
		return later
	}
	if y.StatusCode == http.StatusBadGateway && j.retry(body, retries) {
		j.done(overload.Ignored)
		y.Discard()
		return again
	}
	j.answer(m, y)
	return over
}

// repeatable reports whether the body can be sent once more.
func (j *job) repeatable(body *carry.Streamed) bool { return j.kept || body.Seal() }

// retry reports whether to send a request again that may have been done.
func (j *job) retry(body *carry.Streamed, retries *int) bool {
	if !carry.Harmless(j.req) || *retries >= j.s.retries || !j.repeatable(body) {
		return false
	}
	if !j.r.budget.spend() {
		j.r.metrics.spent.Inc()
		return false
	}
	*retries++
	j.r.metrics.retries.Inc()
	return true
}

// broken judges an attempt that had no answer.
func (j *job) broken(ctx context.Context, m *member, address string, err error, body *carry.Streamed, retries *int) step {
	var unsent *carry.UnsentError
	late := carry.TimedOut(err)
	switch {
	case ctx.Err() != nil:
		j.done(overload.Ignored)
		j.fail(problemGone(ctx))
	case errors.As(err, &unsent):
		j.done(overload.Ignored)
		if !unsent.Unreachable {
			return later
		}
		j.r.lost(m, address)
		if j.repeatable(body) {
			return again
		}
		j.fail(problemUnreplayable())
	case late:
		j.done(overload.Overloaded)
		j.fail(problemTimeout(j.s.request, carry.Harmless(j.req)).Because(err))
	default:
		j.done(overload.Ignored)
		if errors.Is(err, syscall.ETIMEDOUT) {
			// Its machine is gone: so are the other connections to it.
			j.r.lost(m, address)
		}
		if j.retry(body, retries) {
			return again
		}
		j.fail(problemUnknown(err))
	}
	return over
}

// answer passes an answer on.
func (j *job) answer(m *member, y *carry.Reply) {
	delete(y.Header, planeconfig.HeaderMemberToken)
	y.Header[planeconfig.HeaderPartition] = names()[j.partition]
	j.by = m.metrics
	if y.StatusCode == http.StatusSwitchingProtocols {
		j.switches(y)
		return
	}
	j.pass(j.req.Context(), y)
}

// switches to the protocol that was asked for.
func (j *job) switches(y *carry.Reply) {
	if j.out.Upgrade == "" || !strings.EqualFold(y.Header.Get("Upgrade"), j.out.Upgrade) {
		y.Finish(false)
		j.fail(problemUnknown(errSwitched))
		return
	}
	j.tunnel(y)
}

var errSwitched = errors.New("the shard switched to a protocol that was not asked for")

// shedProblem is what a client is told whose request was not let through.
func shedProblem(ctx context.Context, err error) *plane.Problem {
	var shed *overload.ShedError
	switch {
	case ctx.Err() != nil:
		return problemGone(ctx)
	case errors.As(err, &shed):
		return shed.Problem()
	}
	return problemBusy().Because(err)
}
