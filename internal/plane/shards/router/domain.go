package router

import (
	"errors"
	"strings"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
	"github.com/trellis-dev/trellis/internal/plane/shards/overload"
)

// via is how this router names itself in the header Via.
func (r *Router) via() string {
	c := r.plane.Config
	return "1.1 " + c.Name + "." + c.Namespace + "." + strings.ToLower(c.Kind)
}

// toDomain sends a request on to another ShardSet's routers, which find its key and all the rest.
func (j *job) toDomain(d *domain) {
	via := j.r.via()
	if before := strings.Join(j.req.Header["Via"], ", "); before != "" {
		if strings.Contains(before+",", via+",") {
			j.fail(problemLoop())
			return
		}
		via = before + ", " + via
	}
	problem := j.prepare()
	if problem == nil {
		problem = j.ready()
	}
	if problem != nil {
		j.fail(problem)
		return
	}
	delete(j.req.Header, "Via")
	j.out.Added = append(j.out.Added, carry.Field{Name: "Via", Value: via})
	if d.token != nil {
		delete(j.req.Header, "Authorization")
		j.out.Added = append(j.out.Added, carry.Field{Name: "Authorization", Value: "Bearer " + string(d.token.Value())})
	}
	j.at = d.to
	y, err := j.ask(d)
	if err != nil {
		j.failDomain(err)
		return
	}
	j.by = d.to.metrics
	if y.StatusCode == 101 {
		j.switches(y)
		return
	}
	j.pass(j.req.Context(), y)
}

// ask the other routers, once more where the first connection turned out to be closed.
func (j *job) ask(d *domain) (*carry.Reply, error) {
	ctx := j.req.Context()
	if !j.kept {
		up := j.upload()
		y, err := j.r.stream(ctx, d.address, &j.out, &carry.Streamed{Body: up})
		if stalled := up.ease(); stalled && err != nil {
			err = problemSlow().Because(err)
		}
		return y, err
	}
	y, err := j.r.exchange(ctx, d.to, d.address, &j.out)
	var unsent *carry.UnsentError
	if errors.As(err, &unsent) && !unsent.Unreachable {
		return j.r.exchange(ctx, d.to, d.address, &j.out)
	}
	return y, err
}

func (j *job) failDomain(err error) {
	ctx := j.req.Context()
	var unsent *carry.UnsentError
	var slow *plane.Problem
	j.done(overload.Ignored)
	switch {
	case errors.As(err, &slow):
		j.fail(slow)
	case ctx.Err() != nil:
		j.fail(problemGone(ctx))
	case errors.As(err, &unsent):
		j.fail(problemDomainAway().Because(err))
	case carry.TimedOut(err):
		j.fail(problemTimeout(j.s.request, carry.Harmless(j.req)).Because(err))
	default:
		j.fail(problemDomain(err))
	}
}
