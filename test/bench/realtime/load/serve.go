package load

import (
	"context"

	"github.com/trellis-dev/trellis/test/bench/process"
)

// Calls of a load process.
const (
	MethodFollow  = "follow"
	MethodPublish = "publish"
	MethodPoll    = "poll"
	MethodBroken  = "broken"
)

// Serve runs a load process until its standard input ends.
func Serve(ctx context.Context) error {
	c := New()
	defer c.Close()
	return process.Serve(ctx, map[string]process.Handler{
		MethodFollow: process.Handle(func(ctx context.Context, p FollowParams) (any, error) {
			return nil, c.Follow(ctx, p)
		}),
		MethodPublish: process.Handle(func(ctx context.Context, p PublishParams) (any, error) {
			return c.Publish(ctx, p)
		}),
		MethodPoll: process.Handle(func(ctx context.Context, p PollParams) (any, error) {
			return c.Poll(ctx, p)
		}),
		MethodBroken: process.Handle(func(context.Context, struct{}) (any, error) { return nil, c.Broken() }),
	})
}
