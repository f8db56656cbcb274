package overload

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/trellis-dev/trellis/internal/eventcel"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Classifier says of which class a request is.
type Classifier struct {
	header  string
	class   *eventcel.Class
	classes []string
	rest    int
	failed  func(error)
}

// NewClassifier compiles what is configured. failed, which may be nil, hears of each expression that could not be evaluated;
// such a request is of the default class.
func NewClassifier(o planeconfig.ShardOverload, failed func(error)) (*Classifier, error) {
	classes := settingsOf(o).classes
	c := &Classifier{header: o.PriorityHeader, classes: classes, rest: len(classes) - 1, failed: failed}
	if o.DefaultClass != "" {
		if c.rest = slices.Index(classes, o.DefaultClass); c.rest < 0 {
			return nil, fmt.Errorf("overload.priority.defaultClass %q is none of the classes: name one of %s", o.DefaultClass, strings.Join(classes, ", "))
		}
	}
	if o.PriorityExpression == "" {
		return c, nil
	}
	var err error
	if c.class, err = eventcel.CompileClass(o.PriorityExpression); err != nil {
		return nil, fmt.Errorf("overload.priority.expression: %w", err)
	}
	return c, nil
}

// Class of a request: a number for Admit. claims are those of its verified token, or nil.
func (c *Classifier) Class(r *http.Request, claims map[string]any) int {
	name := ""
	switch {
	case c.header != "":
		name = r.Header.Get(c.header)
	case c.class != nil:
		var err error
		if name, err = c.class.Of(seen(r, claims)); err != nil && c.failed != nil {
			c.failed(err)
		}
	}
	if i := slices.Index(c.classes, name); i >= 0 {
		return i
	}
	return c.rest
}

// Name of a class.
func (c *Classifier) Name(class int) string { return c.classes[min(max(class, 0), len(c.classes)-1)] }

// seen is what an expression sees of a request.
func seen(r *http.Request, claims map[string]any) eventcel.Request {
	out := eventcel.Request{
		Method: r.Method, Path: r.URL.Path, Claims: claims, Query: map[string]string{}, Headers: make(map[string]string, len(r.Header)+1),
	}
	for name, values := range r.Header {
		if len(values) > 0 {
			out.Headers[strings.ToLower(name)] = values[0]
		}
	}
	out.Headers["host"] = r.Host
	for name, values := range r.URL.Query() {
		if len(values) > 0 {
			out.Query[name] = values[0]
		}
	}
	return out
}
