package load

import (
	"context"
	"maps"

	"github.com/trellis-dev/trellis/test/bench/process"
)

// Methods that the process serves.
const (
	MethodSubmit  = "submit"
	MethodWork    = "work"
	MethodStart   = "start"
	MethodRequest = "request"
)

// Serve runs the process until its input ends.
func Serve(ctx context.Context) error {
	handlers := process.Introspection()
	maps.Copy(handlers, map[string]process.Handler{
		MethodSubmit: process.Handle(Submit), MethodWork: process.Handle(Work),
		MethodStart: process.Handle(Start), MethodRequest: process.Handle(Request),
	})
	return process.Serve(ctx, handlers)
}
