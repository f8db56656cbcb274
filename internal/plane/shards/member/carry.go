package member

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// export answers with what the container has of p, which this member has been fenced off from. What the container did
// wrong on the way is said in a trailer, so that the other end knows more than that the stream ended.
func (m *Member) export(ctx context.Context, w http.ResponseWriter, p int, order wire.Order) *plane.Problem {
	if _, problem := m.own.fence(ctx, p, order); problem != nil {
		return problem
	}
	release, problem := m.own.take(ctx, p, func() *plane.Problem {
		if problem := m.own.stale(order); problem != nil {
			return problem
		}
		if move, ok := m.own.state.Table.Moving(p); !ok || move.From != m.own.self {
			return problemNotMoving(m.own.self, p, "the partition is not on its way from it by its table")
		}
		return nil
	})
	if problem != nil {
		return problem
	}
	defer release()
	if until, ok := ctx.Deadline(); ok {
		// Who takes it and does not read would keep the partition from being served here ever after.
		c := http.NewResponseController(w)
		_ = c.SetWriteDeadline(until)
		defer func() { _ = c.SetWriteDeadline(time.Time{}) }()
	}
	body, err := m.hooks.export(ctx, p, order.Epoch)
	if err != nil {
		return problemContainer(err)
	}
	if body == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	defer func() { _ = body.Close() }()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", strings.Join([]string{wire.TrailerSHA256, wire.TrailerBytes, wire.TrailerFailure}, ", "))
	w.WriteHeader(http.StatusOK)
	sum := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(w, sum), body, make([]byte, carryBuffer))
	if err != nil {
		w.Header().Set(wire.TrailerFailure, strings.ReplaceAll(err.Error(), "\n", " "))
		return nil
	}
	w.Header().Set(wire.TrailerBytes, strconv.FormatInt(n, 10))
	w.Header().Set(wire.TrailerSHA256, hex.EncodeToString(sum.Sum(nil)))
	m.metrics.moved.WithLabelValues(wire.Export).Inc()
	return nil
}

// bringIn has the container take over p from the member that it is on its way from.
func (m *Member) bringIn(ctx context.Context, p int, order wire.Order) (wire.Copied, *plane.Problem) {
	if problem := m.own.hear(order); problem != nil {
		return wire.Copied{}, problem
	}
	if problem := m.own.reach(ctx, order); problem != nil {
		return wire.Copied{}, problem
	}
	release, problem := m.own.take(ctx, p, func() *plane.Problem { return m.own.awaited(p, order) })
	if problem != nil {
		return wire.Copied{}, problem
	}
	if !m.hooks.carry() {
		release()
		return wire.Copied{}, nil
	}
	type end struct {
		out wire.Copied
		err error
	}
	ended := make(chan end, 1)
	if !m.begin(func() {
		defer release()
		out, err := m.carry(ctx, p, order)
		ended <- end{out, err}
	}) {
		release()
		return wire.Copied{}, problemTimeout(m.own.self + " is about to stop")
	}
	// The partition stays taken for as long as the container is at work, but who asked hears of it in time.
	late, cancel := afterwards(ctx, answerGrace)
	defer cancel()
	select {
	case e := <-ended:
		if e.err != nil {
			return wire.Copied{}, problemContainer(e.err)
		}
		m.metrics.moved.WithLabelValues(wire.Import).Inc()
		m.metrics.bytes.Add(float64(e.out.Bytes))
		return e.out, nil
	case <-late.Done():
		return wire.Copied{}, problemTimeout(fmt.Sprintf("the container of %s has all of partition %d and had not answered the import in time", m.own.self, p))
	}
}

// carryBuffer is how much of a partition is read, hashed and written at once, in bytes. Nobody serves it meanwhile, and the
// fewer steps it takes the sooner it is over.
const carryBuffer = 256 << 10

// carryConnBuffer of a connection that partitions are carried over, in bytes; there are a few of them.
const carryConnBuffer = 64 << 10

// answerGrace is how long what is carried over may take to say why it was not ready in time.
const answerGrace = 200 * time.Millisecond

// afterwards is a context that ends a while after ctx does.
func afterwards(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var timer *time.Timer
	set := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(set)
		timer = time.AfterFunc(d, cancel)
	})
	return late, func() {
		if !stop() {
			<-set
			timer.Stop()
		}
		cancel()
	}
}

// awaited says whether p may be brought in on an order: it is on its way here, and no later order was followed before.
func (o *ownership) awaited(p int, order wire.Order) *plane.Problem {
	if problem := o.stale(order); problem != nil {
		return problem
	}
	if move, ok := o.state.Table.Moving(p); !ok || move.To != o.self {
		return problemNotMoving(o.self, p, "the partition is not on its way to it by its table")
	}
	if order.Epoch < o.imported[p] {
		return problemNotMoving(o.self, p, fmt.Sprintf("an import of epoch %d came before this one of epoch %d", o.imported[p], order.Epoch))
	}
	o.imported[p] = order.Epoch
	return nil
}

// carry p over. The container gets the end of the data only once its size and its sum are those that the other end sent.
func (m *Member) carry(ctx context.Context, p int, order wire.Order) (wire.Copied, error) {
	resp, err := m.askForExport(ctx, p, order)
	if err != nil {
		return wire.Copied{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusNoContent:
		// There is nothing; so nothing may be left here of a time before.
		return wire.Copied{}, m.hooks.drop(ctx, p, order.Epoch)
	case http.StatusOK:
	default:
		return wire.Copied{}, fmt.Errorf("the export of partition %d from %s: %w", p, order.From, ProblemOf(resp))
	}
	data := &agreed{resp: resp, sum: sha256.New(), from: order.From}
	if err := m.hooks.load(ctx, p, order.Epoch, data); err != nil {
		return wire.Copied{}, err
	}
	return wire.Copied{Bytes: data.n, SHA256: hex.EncodeToString(data.sum.Sum(nil))}, nil
}

func (m *Member) askForExport(ctx context.Context, p int, order wire.Order) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+order.From+wire.Path(p, wire.Export), nil)
	if err != nil {
		return nil, err
	}
	q := req.URL.Query()
	q.Set("epoch", strconv.FormatUint(order.Epoch, 10))
	q.Set("term", strconv.FormatUint(order.Term, 10))
	if deadline, ok := ctx.Deadline(); ok {
		q.Set("milliseconds", strconv.FormatInt(shorter(time.Until(deadline)).Milliseconds(), 10))
	}
	req.URL.RawQuery = q.Encode()
	req.Header.Set(planeconfig.HeaderMemberToken, m.opts.Token())
	resp, err := m.others.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("the member at %s did not answer when asked for partition %d: %w", order.From, p, err)
	}
	return resp, nil
}

// shorter leaves time to say what it was that was not ready.
func shorter(d time.Duration) time.Duration { return d - d/8 }

// agreed is the data of an export, which ends properly only where the sender says that it does.
type agreed struct {
	resp *http.Response
	from string
	sum  hash.Hash
	n    int64
}

// Read implements io.Reader.
func (a *agreed) Read(b []byte) (int, error) {
	n, err := a.resp.Body.Read(b)
	a.n += int64(n)
	_, _ = a.sum.Write(b[:n])
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		return n, fmt.Errorf("the export from %s broke off after %d bytes: %w", a.from, a.n, err)
	}
	trailer := a.resp.Trailer
	if failure := trailer.Get(wire.TrailerFailure); failure != "" {
		return n, errors.New(failure)
	}
	if got := strconv.FormatInt(a.n, 10); trailer.Get(wire.TrailerBytes) != got {
		return n, fmt.Errorf("the export from %s has %s bytes here and %q there", a.from, got, trailer.Get(wire.TrailerBytes))
	}
	if got := hex.EncodeToString(a.sum.Sum(nil)); trailer.Get(wire.TrailerSHA256) != got {
		return n, fmt.Errorf("the export from %s has the SHA-256 %s here and %q there", a.from, got, trailer.Get(wire.TrailerSHA256))
	}
	return n, io.EOF
}

// InVain reports whether a member's answer, as ProblemOf has it, was that something did not come about in time.
func InVain(err error) bool {
	var p *plane.Problem
	return errors.As(err, &p) && p.Status == http.StatusGatewayTimeout
}

// ProblemOf an answer that is none of success.
func ProblemOf(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	p := &plane.Problem{}
	if json.Unmarshal(body, p) == nil && p.Detail != "" {
		p.Status = resp.StatusCode
		return p
	}
	return fmt.Errorf("it answered %d: %q", resp.StatusCode, body[:min(len(body), shownOfBody)])
}
