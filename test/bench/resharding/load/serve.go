package load

import (
	"context"

	"github.com/trellis-dev/trellis/test/bench/process"
)

// Methods that the processes of containers and of clients serve.
const (
	MethodListen  = "listen"
	MethodFill    = "fill"
	MethodCarried = "carried"
	MethodBegin   = "begin"
	MethodReset   = "reset"
	MethodLook    = "look"
	MethodEnd     = "end"
)

// Serve runs the process until its input ends.
func Serve(ctx context.Context) error {
	behind, before := &Containers{}, &Clients{}
	defer behind.close()
	defer before.close()
	return process.Serve(ctx, map[string]process.Handler{
		MethodListen: process.Handle(behind.Listen), MethodFill: process.Handle(behind.Fill), MethodCarried: process.Handle(behind.Carried),
		MethodBegin: process.Handle(before.Begin), MethodReset: process.Handle(before.Reset), MethodLook: process.Handle(before.Look),
		MethodEnd: process.Handle(before.End),
	})
}
