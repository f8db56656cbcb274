package eventcel

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// Content makes the data of an event.
type Content struct{ program }

// mostContent is the most bytes of an event's data, as many as a plane takes.
const mostContent = 1 << 20

// CompileContent compiles an expression whose value can be written as JSON.
func CompileContent(text string) (*Content, error) {
	p, err := event.compile(text, "what JSON has, such as event.data or {'id': event.data.id}",
		types.DynKind, types.BoolKind, types.IntKind, types.UintKind, types.DoubleKind, types.StringKind, types.BytesKind,
		types.NullTypeKind, types.TimestampKind, types.DurationKind, types.ListKind, types.MapKind)
	if err != nil {
		return nil, err
	}
	return &Content{p}, nil
}

// Of is the data that an event gets, as JSON. An error says why there is none.
func (c *Content) Of(e Event) ([]byte, error) {
	out, err := c.eval(e.values())
	if err != nil {
		return nil, err
	}
	plain, err := plainOf(out, 0)
	if err != nil {
		return nil, fmt.Errorf("the data is not JSON: %w", err)
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return nil, fmt.Errorf("the data is not JSON: %w", err)
	}
	if len(text) > mostContent {
		return nil, fmt.Errorf("the data has %d bytes, and %d are the most", len(text), mostContent)
	}
	return text, nil
}

// plainOf is a value as encoding/json writes it: an int without a fraction, bytes as base64, times as RFC 3339 and
// durations as in "90s".
func plainOf(v ref.Val, depth int) (any, error) {
	if depth > 2*mostDepth {
		return nil, errors.New("it is nested too deeply")
	}
	switch v := v.(type) {
	case types.Null:
		return nil, nil
	case types.Timestamp:
		return v.UTC().Format(time.RFC3339Nano), nil
	case types.Duration:
		return v.String(), nil
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, errors.New("a number is not finite")
		}
		return float64(v), nil
	case types.Bool, types.Int, types.Uint, types.String, types.Bytes:
		return v.Value(), nil
	case *types.Optional:
		if !v.HasValue() {
			return nil, nil
		}
		return plainOf(v.GetValue(), depth+1)
	case traits.Mapper:
		return plainMap(v, depth)
	case traits.Lister:
		return plainList(v, depth)
	default:
		return nil, fmt.Errorf("it has a %s", v.Type().TypeName())
	}
}

func plainMap(m traits.Mapper, depth int) (any, error) {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.(types.String)
		if !ok {
			return nil, fmt.Errorf("a key is a %s, not a string", key.Type().TypeName())
		}
		value, err := plainOf(m.Get(key), depth+1)
		if err != nil {
			return nil, err
		}
		out[string(name)] = value
	}
	return out, nil
}

func plainList(l traits.Lister, depth int) (any, error) {
	out := []any{}
	for it := l.Iterator(); it.HasNext() == types.True; {
		value, err := plainOf(it.Next(), depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, value)
	}
	return out, nil
}
