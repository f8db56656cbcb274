package conformance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
)

// endingToken is over after life.
func (g *Target) endingToken(t *testing.T, subject string, life time.Duration) string {
	t.Helper()
	return g.forge(t, jwt.SigningMethodHS256, g.SigningKey, func(c jwt.MapClaims) {
		c["exp"], c["sub"] = time.Now().Add(life).Unix(), subject
	})
}

// inTime runs a step that has to be over before a token's life is. Where the
// machine was too slow for it, it is done again with a longer one.
func inTime(t *testing.T, life time.Duration, step func(life time.Duration) error) {
	t.Helper()
	for ; ; life *= 2 {
		began := time.Now()
		err := step(life)
		if err == nil {
			return
		}
		// Tokens end at whole seconds.
		if took := time.Since(began); took < life-time.Second || life > patience {
			t.Fatalf("%v after the token was made for %v: %v", took, life, err)
		}
	}
}

func testTokenEnds(t *testing.T, start Factory) {
	target := start(t, Options{})
	ctx, cancel := soon(context.Background())
	defer cancel()
	var s *socket
	var events *eventStream
	inTime(t, 2*time.Second, func(life time.Duration) (err error) {
		c := target.client(t).with(target.endingToken(t, "ann", life))
		if s, err = c.openSocket(ctx); err != nil {
			return err
		}
		var refused reply
		if events, refused, err = c.openEvents(ctx, []string{"a"}, "", ""); err == nil && events == nil {
			err = fmt.Errorf("status %d", refused.status)
		}
		if err != nil {
			s.close()
		}
		return err
	})
	defer s.close()
	defer events.close()
	if code := s.closeCode(ctx); code != 3005 {
		t.Errorf("the socket ended with %d, want 3005", code)
	}
	for {
		e, err := events.nextNamed()
		if err != nil {
			t.Fatalf("the stream ended without a close event: %v", err)
		}
		if e.Name == "close" {
			if !strings.Contains(e.Data, "3005") {
				t.Errorf("the stream ended with %s", e.Data)
			}
			break
		}
	}
}

// subscribedSDK opens an SDK's connection that is in a room.
func (c *client) subscribedSDK(ctx context.Context) (*sdk, error) {
	s, _, err := c.openSDK(ctx)
	if err != nil {
		return nil, err
	}
	if err = s.subscribe(ctx, "a", ""); err == nil {
		var r sdkReply
		if r, err = s.next(ctx); err == nil && r.Subscribe == nil {
			err = fmt.Errorf("subscribe: %+v", r)
		}
	}
	if err != nil {
		s.close()
	}
	return s, err
}

// refresh gives the connection a new token.
func (s *sdk) refresh(ctx context.Context, token string) (sdkReply, error) {
	if err := s.send(ctx, map[string]any{"id": 3, "refresh": map[string]any{"token": token}}); err != nil {
		return sdkReply{}, err
	}
	return s.next(ctx)
}

// testRefresh has two SDKs whose tokens end soon: one gets a new token and keeps
// its connection, the other is told to get one.
func testRefresh(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	open := func(subject string, life time.Duration) (*sdk, error) {
		return c.with(target.endingToken(t, subject, life)).subscribedSDK(ctx)
	}
	cheats, err := open("carl", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer cheats.close()
	if _, err := cheats.refresh(ctx, target.endingToken(t, "ann", time.Hour)); websocket.CloseStatus(err) != 3500 {
		t.Errorf("the token of another: %v, want close code 3500", err)
	}
	var renews, forgets *sdk
	lived := 5 * time.Second
	inTime(t, lived, func(life time.Duration) (err error) {
		lived = life
		if renews, err = open("ann", life); err != nil {
			return err
		}
		r, err := renews.refresh(ctx, target.endingToken(t, "ann", time.Hour))
		if err == nil && r.Error != nil {
			err = fmt.Errorf("a new token: %+v", r.Error)
		}
		if err != nil {
			renews.close()
		}
		return err
	})
	defer renews.close()
	inTime(t, lived, func(life time.Duration) (err error) {
		forgets, err = open("bob", life)
		return err
	})
	defer forgets.close()
	for err == nil {
		_, err = forgets.next(ctx)
	}
	if code := websocket.CloseStatus(err); code != 3005 {
		t.Errorf("a connection without a new token ended with %d, want 3005", code)
	}
	// By now the first token of the one that renewed is over, too: it was made before.
	c.publish("a", "1")
	if r, err := renews.next(ctx); err != nil || r.Push == nil || r.Push.Pub == nil {
		t.Errorf("the connection with a new token: %v %+v", err, r)
	}
}
