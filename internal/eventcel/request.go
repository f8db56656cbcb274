package eventcel

import (
	"fmt"

	"github.com/google/cel-go/common/types"
)

// requestCost bounds an evaluation for a request, which somebody waits for: it has taken less than a few milliseconds.
const requestCost = 10_000

var request = newSubject(subject{
	variable: "request", object: "trellis.Request", cost: requestCost,
	fields: map[string]*types.Type{
		"method": types.StringType, "path": types.StringType, "query": types.NewMapType(types.StringType, types.StringType),
		"headers": types.NewMapType(types.StringType, types.StringType), "claims": types.NewMapType(types.StringType, types.DynType),
	},
	what: "a request has method, path, query, headers and claims",
})

// Request is what an expression sees of an HTTP request.
type Request struct {
	Method, Path string
	// Query and Headers have the first value of each; the names of headers are in lower case.
	Query, Headers map[string]string
	// Claims of the verified token, as encoding/json reads them; empty where there is none.
	Claims map[string]any
}

func (r Request) values() map[string]any {
	claims := r.Claims
	if claims == nil {
		claims = map[string]any{}
	}
	return map[string]any{"method": r.Method, "path": r.Path, "query": r.Query, "headers": r.Headers, "claims": claims}
}

// Class names the class of a request.
type Class struct{ program }

// CompileClass compiles an expression whose value is a string.
func CompileClass(text string) (*Class, error) {
	p, err := request.compile(text, "a string, such as request.path.startsWith('/checkout') ? 'high' : 'low'", types.StringKind, types.DynKind)
	if err != nil {
		return nil, err
	}
	return &Class{p}, nil
}

// Of is the class that a request names. An error says why there is none.
func (c *Class) Of(r Request) (string, error) {
	out, err := c.eval(r.values())
	if err != nil {
		return "", err
	}
	name, ok := out.Value().(string)
	if !ok {
		return "", fmt.Errorf("the class is a %s, not a string", out.Type().TypeName())
	}
	return name, nil
}
