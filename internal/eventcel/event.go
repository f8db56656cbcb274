package eventcel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/cel-go/common/types"
)

// Event is what an expression sees.
type Event struct {
	ID, Type, Source, Subject string
	Time                      time.Time
	// Data as Data reads it.
	Data any
}

func (e Event) values() map[string]any {
	return map[string]any{
		"id": e.ID, "type": e.Type, "source": e.Source, "subject": e.Subject, "time": e.Time, "data": e.Data,
	}
}

// Data reads JSON for an expression: a number without a fraction is an int, every other one a double. Empty data is null.
func Data(text []byte) (any, error) {
	if len(text) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("read the data of an event: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read the data of an event: there is more than one value")
	}
	return numbered(v)
}

func numbered(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		return v.Float64()
	case map[string]any:
		for k, one := range v {
			if v[k], err = numbered(one); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, one := range v {
			if v[i], err = numbered(one); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// Filter says which events are wanted.
type Filter struct{ program }

// CompileFilter compiles an expression whose value is a bool.
func CompileFilter(text string) (*Filter, error) {
	p, err := event.compile(text, "a bool, such as event.data.attempt > 1 or event.type.endsWith('.dead')", types.BoolKind)
	if err != nil {
		return nil, err
	}
	return &Filter{p}, nil
}

// Wants is true for an event that is wanted. An error says why it is not known.
func (f *Filter) Wants(e Event) (bool, error) {
	out, err := f.eval(e.values())
	if err != nil {
		return false, err
	}
	wanted, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("the filter gave a %s, not a bool", out.Type().TypeName())
	}
	return wanted, nil
}

// Subject makes the subject of an event.
type Subject struct{ program }

// mostSubject is the most bytes of a subject: a room's name has less.
const mostSubject = 1024

// CompileSubject compiles an expression whose value is a string.
func CompileSubject(text string) (*Subject, error) {
	p, err := event.compile(text, "a string, such as 'user-' + event.data.metadata.user or string(event.data.attempt)", types.StringKind, types.DynKind)
	if err != nil {
		return nil, err
	}
	return &Subject{p}, nil
}

// Of is the subject that an event gets. An error says why there is none.
func (s *Subject) Of(e Event) (string, error) {
	out, err := s.eval(e.values())
	if err != nil {
		return "", err
	}
	text, ok := out.Value().(string)
	switch {
	case !ok:
		return "", fmt.Errorf("the subject is a %s, not a string", out.Type().TypeName())
	case text == "":
		return "", errors.New("the subject is empty")
	case len(text) > mostSubject:
		return "", fmt.Errorf("the subject has %d bytes, and %d are the most", len(text), mostSubject)
	}
	return text, nil
}
