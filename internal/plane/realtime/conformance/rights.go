package conformance

import (
	"context"
	"net/http"
	"testing"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func testRights(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	reader, writer := c.mint("ann", "subscribe", "chat.*", "one"), c.mint("bob", "publish", "chat.*")
	for _, step := range []struct {
		token, right, room string
		want               bool
	}{
		{reader, "subscribe", "chat.1", true},
		{reader, "subscribe", "chat.", true},
		{reader, "subscribe", "one", true},
		{reader, "subscribe", "one2", false},
		{reader, "subscribe", "chat", false},
		{reader, "subscribe", "other", false},
		{reader, "publish", "chat.1", false},
		{writer, "publish", "chat.1", true},
		{writer, "publish", "other", false},
		{writer, "subscribe", "chat.1", false},
	} {
		ways := map[string]bool{}
		c := c.with(step.token)
		ctx, cancel := soon(context.Background())
		if step.right == "subscribe" {
			ways["poll"] = c.status(ctx, http.MethodGet, messagesPath(step.room), "") == http.StatusOK
			ways["long poll"] = c.status(ctx, http.MethodGet, messagesPath(step.room, "wait", "1ms"), "") == http.StatusOK
			s, _, err := c.openEvents(ctx, []string{step.room}, "", "")
			ways["stream"] = err == nil && s != nil
			if s != nil {
				s.close()
			}
		} else {
			ways["post"] = c.status(ctx, http.MethodPost, messagesPath(step.room), `{"data":1}`) == http.StatusCreated
		}
		ways["socket"] = c.socketAllows(ctx, step.right, step.room)
		ways["sdk"] = c.sdkAllows(ctx, step.right, step.room)
		cancel()
		for way, got := range ways {
			if got != step.want {
				t.Errorf("%s in %q by %s: allowed %v, want %v", step.right, step.room, way, got, step.want)
			}
		}
	}
	// One room of several that is not allowed refuses the stream.
	c.with(reader).must(http.StatusForbidden, http.MethodGet, "/v1/stream?room=one&room=other", nil)
}

func (c *client) status(ctx context.Context, method, path, text string) int {
	c.t.Helper()
	r, err := c.do(ctx, method, path, body(text))
	if err != nil {
		c.t.Fatal(err)
	}
	return r.status
}

func (c *client) socketAllows(ctx context.Context, right, room string) bool {
	c.t.Helper()
	s, err := c.openSocket(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	defer s.close()
	if err := s.send(ctx, map[string]any{"id": 1, "type": right, "room": room, "data": dataOf(right)}); err != nil {
		c.t.Fatal(err)
	}
	f, err := s.next(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return f.Type != "error"
}

// dataOf is what a command of the right carries as data.
func dataOf(right string) any {
	if right == "publish" {
		return 1
	}
	return nil
}

func (c *client) sdkAllows(ctx context.Context, right, room string) bool {
	c.t.Helper()
	s, _, err := c.openSDK(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	defer s.close()
	cmd := map[string]any{"channel": room}
	if right == "publish" {
		cmd["data"] = 1
	}
	if err := s.send(ctx, map[string]any{"id": 2, right: cmd}); err != nil {
		c.t.Fatal(err)
	}
	r, err := s.next(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return r.Error == nil
}

func testAnonymous(t *testing.T, start Factory) {
	target := start(t, Options{Configure: func(c *planeconfig.Config) {
		c.Auth.Anonymous = &planeconfig.Grant{Rooms: []string{"public.*"}, Rights: []string{"subscribe"}}
	}})
	c := target.client(t).with("")
	c.must(http.StatusOK, http.MethodGet, messagesPath("public.a"), nil)
	c.must(http.StatusForbidden, http.MethodGet, messagesPath("private"), nil)
	c.must(http.StatusForbidden, http.MethodPost, messagesPath("public.a"), []byte(`{"data":1}`))
	c.must(http.StatusForbidden, http.MethodPost, "/v1/tokens", []byte(`{"rooms":["public.a"]}`))
	// A token that is no good is not taken for none.
	c.with("wrong").must(http.StatusUnauthorized, http.MethodGet, messagesPath("public.a"), nil)
	ctx, cancel := soon(context.Background())
	defer cancel()
	if !c.sdkAllows(ctx, "subscribe", "public.a") || c.sdkAllows(ctx, "subscribe", "private") {
		t.Error("the Centrifuge protocol does not give anonymous its grant, or more")
	}
}
