package load

import (
	"context"
	"maps"

	"github.com/trellis-dev/trellis/test/bench/process"
)

// Methods that the processes of shards and of clients serve.
const (
	MethodListen = "listen"
	MethodAsk    = "ask"
)

// Serve runs the process until its input ends.
func Serve(ctx context.Context) error {
	s := &shards{}
	defer s.close()
	handlers := process.Introspection()
	maps.Copy(handlers, map[string]process.Handler{MethodListen: process.Handle(s.Listen), MethodAsk: process.Handle(Ask)})
	return process.Serve(ctx, handlers)
}
