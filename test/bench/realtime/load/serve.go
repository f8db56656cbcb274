package load

import (
	"context"
	"time"

	"github.com/trellis-dev/trellis/test/bench/process"
)

// Calls of a load process.
const (
	MethodFollow  = "follow"
	MethodPublish = "publish"
	MethodPoll    = "poll"
	MethodBroken  = "broken"
	MethodTalk    = "talk"
	MethodHeard   = "heard"
	MethodHush    = "hush"
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
		MethodTalk:   process.Handle(func(ctx context.Context, p TalkParams) (any, error) { return nil, c.Talk(ctx, p) }),
		MethodHeard:  process.Handle(func(_ context.Context, since time.Time) (any, error) { return c.Heard(since), nil }),
		MethodHush:   process.Handle(func(ctx context.Context, _ struct{}) (any, error) { return c.Hush(ctx), nil }),
		MethodBroken: process.Handle(func(context.Context, struct{}) (any, error) { return nil, c.Broken() }),
	})
}
