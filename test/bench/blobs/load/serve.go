package load

import (
	"context"
	"maps"

	"github.com/trellis-dev/trellis/test/bench/process"
)

// Methods that the process serves.
const (
	MethodScan   = "scan"
	MethodList   = "list"
	MethodSiege  = "siege"
	MethodBegin  = "begin"
	MethodUpload = "upload"
)

// Serve runs the process until its input ends.
func Serve(ctx context.Context) error {
	handlers := process.Introspection()
	maps.Copy(handlers, map[string]process.Handler{
		MethodScan: process.Handle(Scan), MethodList: process.Handle(List), MethodSiege: process.Handle(Siege),
		MethodBegin: process.Handle(Begin), MethodUpload: process.Handle(Upload),
	})
	return process.Serve(ctx, handlers)
}
