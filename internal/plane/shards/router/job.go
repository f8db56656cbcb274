package router

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
	"github.com/trellis-dev/trellis/internal/plane/shards/overload"
)

// keptBody is the longest body that is kept so that it can be sent again, in bytes.
const keptBody = 64 << 10

// job is a request on its way through.
type job struct {
	r     *Router
	s     *settings
	w     http.ResponseWriter
	req   *http.Request
	began time.Time

	token     string
	partition int
	class     int
	// out is what is sent on; kept is true where its body is all of it, and otherwise it is read as it is sent.
	out carry.Request
	// fields are where those are that the router adds.
	fields [3]carry.Field
	kept   bool
	// at is the shard that it was last sent to.
	at *member
	// taken is what its body has of the memory for bodies.
	taken int64
	// placed is true where it has one of those for connections that are held open.
	placed bool
	// heldSince is when it was held first.
	heldSince time.Time

	// status that was answered, and by whom; open is true where the answer is held open.
	status  int
	by      *memberMetrics
	open    bool
	abort   bool
	release func(overload.Outcome)
}

func (j *job) serve() {
	problem := j.admit()
	if problem != nil {
		j.fail(problem)
		return
	}
	if d := j.s.domainOf(j.req.URL.Path); d != nil {
		j.toDomain(d)
		return
	}
	if problem = j.place(); problem != nil {
		j.fail(problem)
		return
	}
	if problem = j.prepare(); problem != nil {
		j.fail(problem)
		return
	}
	j.forward()
}

// admit looks at who asks, and whether the path is one that goes on.
func (j *job) admit() *plane.Problem {
	if j.req.Method == http.MethodConnect {
		return problemMethod()
	}
	if strings.Contains(j.req.URL.Path, "/.trellis") && strings.HasPrefix(path.Clean(j.req.URL.Path)+"/", ownPrefix) {
		return problemReserved()
	}
	if len(j.s.domains) > 0 && dotted(j.req.URL.Path) {
		return problemDotted()
	}
	if j.s.open && j.s.key.cfg.JWTClaim == "" {
		return nil
	}
	j.token = plane.TokenOf(j.req)
	req, id, problem := j.r.plane.Auth().Request(j.req)
	j.req = req
	switch {
	case problem != nil:
		return problem
	case id.Sink:
		return problemSink()
	case id.Binding && !j.s.open:
		// It is the ShardSet's own, and of no use to a container but to misuse it.
		delete(j.req.Header, "Authorization")
	}
	return nil
}

// place finds the partition and the class.
func (j *job) place() *plane.Problem {
	var key string
	var problem *plane.Problem
	if j.s.key.inBody() {
		if problem = j.readForKey(); problem != nil {
			return problem
		}
		key, problem = j.s.key.ofBody(j.out.Body)
	} else {
		key, problem = j.s.key.ofRequest(j.req, j.token)
	}
	switch {
	case problem == nil:
		p, err := j.s.placement.Partition(key)
		if err != nil {
			return problemUnplaced()
		}
		j.partition = p
	case problem.Type != plane.ProblemBase+noKey || !preflight(j.req):
		return problem
	default:
		// Browsers send nothing of the request that they ask about: any shard can tell.
		j.partition = 0
	}
	var claims map[string]any
	if j.token != "" && j.s.cfg.Router.Overload.PriorityExpression != "" {
		claims = claimsOf(j.token)
	}
	j.class = j.s.classes.Class(j.req, claims)
	return nil
}

// preflight reports whether a browser asks whether it may send a request from another origin.
func preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header["Origin"] != nil && r.Header["Access-Control-Request-Method"] != nil
}

// claimsOf a token that was verified; nil where it is none of a client.
func claimsOf(token string) map[string]any {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	var out map[string]any
	if text, err := base64.RawURLEncoding.DecodeString(payload); err != nil || json.Unmarshal(text, &out) != nil {
		return nil
	}
	return out
}

// readForKey reads the body that the key is in.
func (j *job) readForKey() *plane.Problem {
	length, most := j.req.ContentLength, j.s.key.mostBody
	if encoding := j.req.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return j.s.key.problemEncoded()
	}
	if length > most {
		return j.s.key.problemBody()
	}
	if length < 0 {
		length = most + 1
	}
	if !j.r.bodies.Take(length) {
		return problemBodies()
	}
	j.taken = length
	return j.read(length, j.s.key.problemBody)
}

// read up to length bytes of the body, as a whole. more is the problem of one that is longer than it may be.
func (j *job) read(length int64, more func() *plane.Problem) *plane.Problem {
	rc := http.NewResponseController(j.w)
	_ = rc.SetReadDeadline(time.Now().Add(plane.BodyTimeout))
	var body []byte
	var err error
	if j.req.ContentLength >= 0 {
		body = make([]byte, length)
		_, err = io.ReadFull(j.req.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(j.req.Body, length))
		if err == nil && int64(len(body)) == length {
			return more()
		}
	}
	if err != nil {
		return plane.BrokenBody(err)
	}
	_ = rc.SetReadDeadline(time.Time{})
	j.out.Body, j.kept = body, true
	return nil
}

// ready has the body be kept where it is short. A longer one is sent as it comes.
func (j *job) ready() *plane.Problem {
	length := j.req.ContentLength
	if j.kept || length == 0 || j.req.Body == nil || j.req.Body == http.NoBody {
		j.kept = true
		return nil
	}
	if length < 0 || length > keptBody || j.taken > 0 || !j.r.bodies.Take(length) {
		return nil
	}
	j.taken = length
	return j.read(length, nil)
}

// begun notes the head of an answer. One that is held open takes no more of the shard's turn.
func (j *job) begun(status int, open bool) {
	j.status, j.open = status, open
	if open {
		j.done(overload.Ignored)
	}
	if !j.heldSince.IsZero() {
		j.r.metrics.heldSeconds.Observe(time.Since(j.heldSince).Seconds())
	}
}

// done ends the request's turn at a shard.
func (j *job) done(o overload.Outcome) {
	if j.release != nil {
		j.release(o)
		j.release = nil
	}
}

// fail answers with a problem of the router's own.
func (j *job) fail(p *plane.Problem) {
	j.by, j.status = j.r.metrics.nobody, p.Status
	// To net/http, a client whose body does not come in time is gone; it is there to be told so.
	if p.Status == statusGone || j.req.Context().Err() != nil && p.Status != http.StatusRequestTimeout {
		j.status = statusGone
		return
	}
	j.r.metrics.refused.WithLabelValues(strings.TrimPrefix(p.Type, plane.ProblemBase)).Inc()
	if p.Status >= http.StatusInternalServerError && p.Status != http.StatusServiceUnavailable {
		j.complain(p)
	}
	_ = http.NewResponseController(j.w).SetWriteDeadline(time.Now().Add(writeStall))
	plane.WriteProblem(j.w, p)
}

// end counts and times the request.
func (j *job) end() {
	j.done(overload.Ignored)
	j.r.bodies.Give(j.taken)
	if j.placed {
		j.r.places.Give(1)
	}
	if j.by != nil {
		j.by.answered(j.status)
	}
	took := time.Since(j.began)
	if !j.open {
		j.r.metrics.Observe(j.req.Method, "shards", statusLabel(j.status), took)
	}
	if j.r.log.Enabled(j.req.Context(), slog.LevelDebug) {
		j.r.log.LogAttrs(j.req.Context(), slog.LevelDebug, "request", slog.String("method", j.req.Method), slog.String("path", j.req.URL.Path),
			slog.Int("status", j.status), slog.Int("partition", j.partition), slog.Duration("took", took))
	}
	if j.abort {
		// The client has to see that something is missing.
		panic(http.ErrAbortHandler)
	}
}

// problemGone is of a request whose client went away: nobody reads it.
func problemGone(ctx context.Context) *plane.Problem {
	return plane.NewProblem(statusGone, "gone", "The client went away", "it did not wait for the answer").Because(ctx.Err())
}
