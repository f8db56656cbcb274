//go:build integration

package laws

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/controllers"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// subject is a pipeline that is held to the laws.
type subject struct {
	kinds func() *pattern.Registration
	// flaw is nearest to the operator; nil in a sound one.
	flaw transport
	mu   *sync.Mutex
	ends map[string]*end
}

// end is what an undisturbed run of an example ends in.
type end struct {
	once   sync.Once
	state  state
	writes int64
	calls  int64
	err    error
}

func newSubject(kinds func() *pattern.Registration, flaw transport) subject {
	return subject{kinds: kinds, flaw: flaw, mu: &sync.Mutex{}, ends: map[string]*end{}}
}

var trellis = newSubject(controllers.Kinds, nil)

// operator is a running subject.
type operator struct {
	*framework.Operator
	guard *guard
	// stuckAfter is how long it may write nothing before a wrong state is taken for its last.
	stuckAfter time.Duration
}

func (s subject) start(t testing.TB, ns string, faults ...transport) *operator {
	return s.startOne(t, framework.OperatorOptions{Namespace: ns}, faults...)
}

func (s subject) startOne(t testing.TB, o framework.OperatorOptions, faults ...transport) *operator {
	g := &guard{}
	o.Kinds = s.kinds()
	o.Transport = chain(append(append([]transport{s.flaw}, faults...), g.wrap)...)
	return &operator{Operator: framework.StartOperator(t, o), guard: g, stuckAfter: stuckAfter}
}

// undisturbed runs an example to its end, once for all laws.
func (s subject) undisturbed(t testing.TB, e example) (*end, error) {
	s.mu.Lock()
	if s.ends[e.name] == nil {
		s.ends[e.name] = &end{}
	}
	out := s.ends[e.name]
	s.mu.Unlock()
	out.once.Do(func() { out.err = s.run(t, e, out) })
	return out, out.err
}

func (s subject) run(t testing.TB, e example, out *end) error {
	ns := e.namespace(t)
	op := s.start(t, ns)
	defer op.Stop()
	if err := e.apply(ns); err != nil {
		return err
	}
	if err := settle(op, ns); err != nil {
		return fmt.Errorf("undisturbed: %w", err)
	}
	out.writes, out.calls = op.Writes.Load(), op.Writes.Load()+op.Reads.Load()
	var err error
	out.state, err = snapshot(ns)
	return err
}

// check runs one case of a law, beside others, and says how to run exactly it again.
func check(t *testing.T, name string, law func(t *testing.T) error) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		if err := law(t); err != nil {
			t.Errorf("%v\n\nreplay: make test-laws RUN='%s'", err, exactly(t.Name()))
		}
	})
}

// exactly is the pattern of go test -run that a test's name alone matches.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = "^" + parts[i] + "$"
	}
	return strings.Join(parts, "/")
}

// all is true where every example is asked for and not a quick sample.
func all() bool { return os.Getenv("LAWS") == "all" }
