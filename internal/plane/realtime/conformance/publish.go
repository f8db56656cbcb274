package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var publishTests = []test{
	{"BatchKeepsItsOrder", testBatch},
	{"BatchIsCheckedBeforeAnyIsPublished", testBatchInvalid},
	{"SameKeyPublishesOnce", testIdempotent},
	{"SameKeyAtTheSameTimePublishesOnce", testIdempotentConcurrent},
	{"SameKeyForAnotherMessageIsRefused", testIdempotentReuse},
	{"KeysAreAClientsOwn", testIdempotentScope},
}

func testBatch(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	r := decode[Published](t, c.must(http.StatusCreated, http.MethodPost, messagesPath("a"),
		[]byte(`{"messages":[{"data":1},{"data":"two"},{"data":{"three":3}}]}`)).body)
	page := c.poll("a")
	var results, read []string
	for _, p := range r.Results {
		results = append(results, p.Position)
	}
	for _, m := range page.Messages {
		read = append(read, m.Position)
	}
	if diff := cmp.Diff(results, read); diff != "" || len(read) != 3 {
		t.Errorf("positions (-results +read):\n%s", diff)
	}
}

func testBatchInvalid(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	big := `"` + strings.Repeat("x", MessageBytes) + `"`
	for body, want := range map[string]struct {
		status int
		slug   string
	}{
		`{"messages":[{"data":1},{}]}`:                     {400, "invalid-request"},
		`{"messages":[{"data":1},{"data":` + big + `}]}`:   {413, "message-too-large"},
		`{"messages":[]}`:                                  {400, "invalid-request"},
		`{"messages":[{"data":1}],"data":2}`:               {400, "invalid-request"},
		`{"messages":[{"data":1,"idempotencyKey":"ü"}]}`:   {400, "invalid-request"},
		`{"messages":[` + repeat(`{"data":1}`, 101) + `]}`: {400, "invalid-request"},
		`{"data":` + big + `}`:                             {413, "message-too-large"},
		`{}`:                                               {400, "invalid-request"},
	} {
		p := c.must(want.status, http.MethodPost, messagesPath("a"), []byte(body)).problem(t)
		if p.Slug() != want.slug {
			t.Errorf("%.60s: refused as %s, want %s", body, p.Slug(), want.slug)
		}
	}
	if page := c.poll("a"); len(page.Messages) != 0 {
		t.Errorf("something was published: %+v", page.Messages)
	}
}

func repeat(s string, n int) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }

func testIdempotent(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	first := c.must(http.StatusCreated, http.MethodPost, messagesPath("a"), []byte(`{"data":{"n":1}}`), "Idempotency-Key", "k")
	again := c.must(http.StatusCreated, http.MethodPost, messagesPath("a"), []byte(` { "data" : {"n": 1} } `), "Idempotency-Key", "k")
	one, two := decode[Published](t, first.body), decode[Published](t, again.body)
	if one.Replayed || !two.Replayed || one.Position != two.Position || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("first %+v, again %+v, header %q", one, two, again.header.Get("Idempotent-Replayed"))
	}
	batch := []byte(`{"messages":[{"data":2},{"data":3}]}`)
	b1 := decode[Published](t, c.must(http.StatusCreated, http.MethodPost, messagesPath("a"), batch, "Idempotency-Key", "b").body)
	b2 := decode[Published](t, c.must(http.StatusCreated, http.MethodPost, messagesPath("a"), batch, "Idempotency-Key", "b").body)
	for i := range b1.Results {
		if b1.Results[i].Position != b2.Results[i].Position || !b2.Results[i].Replayed {
			t.Errorf("message %d: first %+v, again %+v", i, b1.Results[i], b2.Results[i])
		}
	}
	if page := c.poll("a"); len(page.Messages) != 3 {
		t.Errorf("the room holds %d messages, want 3", len(page.Messages))
	}
	// Keys count for a room.
	if other := c.publish("b", `{"n":1}`, "Idempotency-Key", "k"); other.Replayed {
		t.Error("a key of one room was known in another")
	}
}

func testIdempotentConcurrent(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	var group sync.WaitGroup
	positions := make([]string, 20)
	for i := range positions {
		group.Go(func() { positions[i] = c.publish("a", `"once"`, "Idempotency-Key", "same").Position })
	}
	group.Wait()
	for _, p := range positions {
		if p != positions[0] {
			t.Fatalf("one key has several positions: %v", positions)
		}
	}
	if page := c.poll("a"); len(page.Messages) != 1 {
		t.Errorf("the room holds %d messages, want 1", len(page.Messages))
	}
}

func testIdempotentReuse(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	c.publish("a", "1", "Idempotency-Key", "k")
	p := c.must(http.StatusUnprocessableEntity, http.MethodPost, messagesPath("a"), []byte(`{"data":2}`), "Idempotency-Key", "k").problem(t)
	if p.Slug() != "idempotency-key-reused" {
		t.Errorf("refused as %s", p.Slug())
	}
	if page := c.poll("a"); len(page.Messages) != 1 {
		t.Errorf("the room holds %d messages, want 1", len(page.Messages))
	}
}

func testIdempotentScope(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	for i, subject := range []string{"ann", "bob"} {
		other := c.with(c.mint(subject, "publish", "a"))
		if p := other.publish("a", fmt.Sprint(i), "Idempotency-Key", "k"); p.Replayed {
			t.Errorf("%s's key was taken by somebody else", subject)
		}
	}
}
