package member

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// maxOrder bounds the body of an order, in bytes.
const maxOrder = 64 << 10

// ServeHTTP implements http.Handler: what a mover and other members ask is answered here, all else is the container's.
func (m *Member) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m.opts.Admits != nil && !m.opts.Admits(r) {
		plane.WriteProblem(w, plane.NewProblem(http.StatusUnauthorized, "missing-token", "A token is needed",
			"a shard is reached through the ShardSet's routers; who routes by itself sends Authorization: Bearer with the token of the binding").
			Header(planeconfig.HeaderNotProcessed, "true"))
		return
	}
	if r.URL.Path == planeconfig.ShardPath || strings.HasPrefix(r.URL.Path, planeconfig.ShardPath+"/") {
		if m.opts.Admits != nil && r.Header.Get(planeconfig.HeaderMemberToken) == "" {
			// An order has its member show the members' token to whom it names, and its term outlives it.
			plane.WriteProblem(w, plane.NewProblem(http.StatusForbidden, "not-allowed", "The token does not allow this",
				"what is below "+planeconfig.ShardPath+" of a shard is for the ShardSet's routers and shards: with the binding's token ask the routers"))
			return
		}
		m.serveOwn(w, r)
		return
	}
	if m.own.superseded.Load() {
		m.metrics.requests.WithLabelValues("misdirected").Inc()
		plane.WriteProblem(w, m.own.standing())
		return
	}
	m.pass(w, r)
}

func (m *Member) serveOwn(w http.ResponseWriter, r *http.Request) {
	partition, verb, ok := wire.ParsePath(r.URL.Path)
	switch {
	case r.URL.Path == wire.Partitions && r.Method == http.MethodGet:
		word := m.own.word()
		word.Incarnation = m.opts.Incarnation
		writeJSON(w, word)
		return
	case !ok || !m.inTable(partition):
		plane.WriteProblem(w, plane.NewProblem(http.StatusNotFound, "not-found", "There is nothing at this path",
			"a member has "+wire.Partitions+" and, for its mover, :fence, :import, :export and :drop of each of them"))
		return
	}
	method := http.MethodPost
	if verb == wire.Export {
		method = http.MethodGet
	}
	if r.Method != method {
		plane.WriteProblem(w, plane.NewProblem(http.StatusMethodNotAllowed, "method-not-allowed", "This path has no such method", "use "+method).Header("Allow", method))
		return
	}
	order, err := readOrder(r)
	if err != nil {
		plane.WriteProblem(w, plane.Invalid(err.Error()))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), order.wait())
	defer cancel()
	if problem := m.obey(ctx, w, verb, partition, order.Order); problem != nil {
		m.metrics.failed.WithLabelValues(verb).Inc()
		m.log.Info("an order of the mover was not done", "order", verb, "partition", partition, "epoch", order.Epoch, "why", problem.Detail)
		plane.WriteProblem(w, problem)
	}
}

// obey an order. Where it returns nil, the answer is written.
func (m *Member) obey(ctx context.Context, w http.ResponseWriter, verb string, p int, order wire.Order) *plane.Problem {
	if problem := m.own.standing(); problem != nil {
		return problem
	}
	switch verb {
	case wire.Fence:
		cut, problem := m.own.fence(ctx, p, order)
		if cut > 0 {
			m.log.Warn("requests were ended before their time, as a partition that leaves had waited for them in vain before", "partition", p, "requests", cut)
		}
		if problem != nil {
			return problem
		}
		word := m.own.word()
		word.Incarnation = m.opts.Incarnation
		writeJSON(w, word)
		return nil
	case wire.Import:
		out, problem := m.bringIn(ctx, p, order)
		if problem == nil {
			writeJSON(w, out)
		}
		return problem
	case wire.Export:
		return m.export(ctx, w, p, order)
	case wire.Drop:
		if problem := m.drop(ctx, p, order); problem != nil {
			return problem
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return plane.NewProblem(http.StatusNotFound, "not-found", "There is nothing at this path", fmt.Sprintf("a partition has no %q", verb))
}

// timed is an order that is to be done in time.
type timed struct{ wire.Order }

func (t timed) wait() time.Duration {
	if d := time.Duration(t.Milliseconds) * time.Millisecond; d > 0 && d < maxWait {
		return d
	}
	return maxWait
}

// maxWait is the longest that an order is worked at.
const maxWait = 10 * time.Minute

// readOrder from the body, or from the query of an export.
func readOrder(r *http.Request) (timed, error) {
	var t timed
	if r.Method == http.MethodGet {
		q := r.URL.Query()
		var errs [3]error
		t.Epoch, errs[0] = strconv.ParseUint(q.Get("epoch"), 10, 64)
		t.Term, errs[1] = strconv.ParseUint(q.Get("term"), 10, 64)
		if ms := q.Get("milliseconds"); ms != "" {
			t.Milliseconds, errs[2] = strconv.ParseInt(ms, 10, 64)
		}
		for _, err := range errs {
			if err != nil {
				return t, fmt.Errorf("epoch, term and milliseconds must be numbers: %w", err)
			}
		}
		return t, nil
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxOrder)).Decode(&t.Order); err != nil {
		return t, fmt.Errorf("the body must be a JSON object with epoch and term: %w", err)
	}
	return t, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
