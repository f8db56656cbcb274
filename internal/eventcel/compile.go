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
	// variable is the one that an expression has, of the type object.
	variable = "event"
	object   = "trellis.Event"
	// mostCost bounds an evaluation, in CEL's units: a step is about one, as is each ten bytes of a text that is gone
	// through. What takes this much has taken some tenths of a second.
	mostCost = 1_000_000
	// mostDepth of an expression, so that no parser's stack grows with what it is given.
	mostDepth = 50
)

// fields of an event. What data holds is known when there is one.
var fields = map[string]*types.Type{
	"id": types.StringType, "type": types.StringType, "source": types.StringType, "subject": types.StringType,
	"time": types.TimestampType, "data": types.DynType,
}

// provider knows the fields of an event. Their values come from a map.
type provider struct{ *types.Registry }

func (p provider) FindStructType(name string) (*types.Type, bool) {
	if name == object {
		return types.NewTypeTypeWithParam(types.NewObjectType(object)), true
	}
	return p.Registry.FindStructType(name)
}

func (p provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if name != object {
		return p.Registry.FindStructFieldType(name, field)
	}
	t, ok := fields[field]
	return &types.FieldType{Type: t}, ok
}

// environment has CEL's own functions and macros, and none of which a short text makes a long one in one step: the cost of
// a step is counted when it is done.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	return cel.NewEnv(
		cel.CustomTypeProvider(provider{registry}), cel.CustomTypeAdapter(registry),
		cel.Variable(variable, types.NewObjectType(object)),
		cel.OptionalTypes(), cel.CrossTypeNumericComparisons(true), ext.TwoVarComprehensions(),
		cel.ParserRecursionLimit(mostDepth),
	)
})

// program is an expression that was compiled.
type program struct{ cel.Program }

// compile an expression whose value is of one of the kinds.
func compile(text, wanted string, kinds ...types.Kind) (program, error) {
	env, err := environment()
	if err != nil {
		return program{}, fmt.Errorf("prepare CEL: %w", err)
	}
	tree, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return program{}, mistake(issues)
	}
	if !slices.Contains(kinds, tree.OutputType().Kind()) {
		return program{}, fmt.Errorf("it is of the type %s: write one that gives %s", tree.OutputType(), wanted)
	}
	p, err := env.Program(tree, cel.CostLimit(mostCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return program{}, fmt.Errorf("it can not be evaluated: %w", err)
	}
	return program{p}, nil
}

// mistake is the first thing that is wrong, in one line.
func mistake(issues *cel.Issues) error {
	first := issues.Errors()[0]
	text := strings.TrimSpace(first.Message)
	if strings.HasPrefix(text, "undefined field") {
		text += ": an event has id, type, source, subject, time and data"
	}
	if strings.HasPrefix(text, "undeclared reference") {
		text += ": what there is is called event"
	}
	return fmt.Errorf("column %d: %s", first.Location.Column()+1, text)
}

// eval evaluates for an event. What it panics with is an error: an event is never a reason to end.
func (p program) eval(e Event) (ref.Val, error) {
	out, _, err := p.Eval(map[string]any{variable: e.values()})
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
