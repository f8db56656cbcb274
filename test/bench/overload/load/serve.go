package load

import (
	"context"

	"github.com/trellis-dev/trellis/test/bench/process"
)

// Methods that the processes of shards and of clients serve.
const (
	MethodListen = "listen"
	MethodSend   = "send"
)

// Serve runs the process until its input ends.
func Serve(ctx context.Context) error {
	s := &shards{}
	defer s.close()
	return process.Serve(ctx, map[string]process.Handler{MethodListen: process.Handle(s.Listen), MethodSend: process.Handle(Send)})
}
