package eventcel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"
)

const (
	// mostCost bounds an evaluation for an event, in CEL's units: a step is about one, as is each ten bytes of a text that is
	// gone through. What takes this much has taken some tenths of a second.
	mostCost = 1_000_000
	// mostDepth of an expression, so that no parser's stack grows with what it is given.
	mostDepth = 50
)

// subject is the one variable that an expression has, and what it may cost.
type subject struct {
	variable, object string
	fields           map[string]*types.Type
	// what it is and has, for who wrote an expression over something else.
	what string
	cost uint64

	environment func() (*cel.Env, error)
}

// event has in data what is known when there is one.
var event = newSubject(subject{
	variable: "event", object: "trellis.Event", cost: mostCost,
	fields: map[string]*types.Type{
		"id": types.StringType, "type": types.StringType, "source": types.StringType, "subject": types.StringType,
		"time": types.TimestampType, "data": types.DynType,
	},
	what: "an event has id, type, source, subject, time and data",
})

func newSubject(s subject) *subject {
	s.environment = sync.OnceValues(s.env)
	return &s
}

// provider knows the fields of a subject. Their values come from a map.
type provider struct {
	*types.Registry
	*subject
}

func (p provider) FindStructType(name string) (*types.Type, bool) {
	if name == p.object {
		return types.NewTypeTypeWithParam(types.NewObjectType(p.object)), true
	}
	return p.Registry.FindStructType(name)
}

func (p provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if name != p.object {
		return p.Registry.FindStructFieldType(name, field)
	}
	t, ok := p.fields[field]
	return &types.FieldType{Type: t}, ok
}

// env has CEL's own functions and macros, and none of which a short text makes a long one in one step: the cost of a step is
// counted when it is done.
func (s *subject) env() (*cel.Env, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	return cel.NewEnv(
		cel.CustomTypeProvider(provider{registry, s}), cel.CustomTypeAdapter(registry),
		cel.Variable(s.variable, types.NewObjectType(s.object)),
		cel.OptionalTypes(), cel.CrossTypeNumericComparisons(true), ext.TwoVarComprehensions(),
		cel.ParserRecursionLimit(mostDepth),
	)
}

// program is an expression that was compiled.
type program struct {
	cel.Program
	over *subject
}

// compile an expression whose value is of one of the kinds.
func (s *subject) compile(text, wanted string, kinds ...types.Kind) (program, error) {
	env, err := s.environment()
	if err != nil {
		return program{}, fmt.Errorf("prepare CEL: %w", err)
	}
	tree, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return program{}, s.mistake(issues)
	}
	if !slices.Contains(kinds, tree.OutputType().Kind()) {
		return program{}, fmt.Errorf("it is of the type %s: write one that gives %s", tree.OutputType(), wanted)
	}
	p, err := env.Program(tree, cel.CostLimit(s.cost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return program{}, fmt.Errorf("it can not be evaluated: %w", err)
	}
	return program{p, s}, nil
}

// mistake is the first thing that is wrong, in one line.
func (s *subject) mistake(issues *cel.Issues) error {
	first := issues.Errors()[0]
	text := strings.TrimSpace(first.Message)
	if strings.HasPrefix(text, "undefined field") {
		text += ": " + s.what
	}
	if strings.HasPrefix(text, "undeclared reference") {
		text += ": what there is is called " + s.variable
	}
	return fmt.Errorf("column %d: %s", first.Location.Column()+1, text)
}

// eval evaluates for an event, or what else there is. What it panics with is an error: an event is never a reason to end.
func (p program) eval(values map[string]any) (ref.Val, error) {
	out, _, err := p.Eval(map[string]any{p.over.variable: values})
	if err != nil {
		return nil, shortened(err)
	}
	if err, failed := out.Value().(error); failed && types.IsError(out) {
		return nil, shortened(err)
	}
	return out, nil
}

// shortened keeps what an event could have put into an error from filling a log.
func shortened(err error) error {
	const most = 200
	if text := err.Error(); len(text) > most {
		return errors.New(strings.ToValidUTF8(text[:most], "") + "…")
	}
	return err
}
