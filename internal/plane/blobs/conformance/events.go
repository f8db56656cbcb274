package conformance

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"

	"github.com/trellis-dev/trellis/pkg/blobs"
)

var eventTests = []test{
	{"HintsAreFollowed", testHints},
	{"HintsDoubledShuffledAndLate", testShuffled},
	{"HintsThatAreNone", testBadHints},
}

// told is a notification of a store: what it says besides keys is made up.
func told(keys ...string) map[string]any {
	records := []any{}
	for _, key := range keys {
		records = append(records, map[string]any{"eventName": "ObjectRemoved:Delete", "s3": map[string]any{"object": map[string]any{"key": url.QueryEscape(key), "size": 7}}})
	}
	return map[string]any{"Records": records}
}

func (c *client) tell(body any, headers ...string) {
	c.t.Helper()
	c.must(http.StatusNoContent, http.MethodPost, "/v1/events", body, nil, headers...)
}

func testHints(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	u, empty, wrong := c.begin(textFile(5)), c.begin(textFile(5)), c.begin(textFile(5))
	c.put(*u.Put, "hello")
	for range 2 {
		c.tell(told("made up", empty.Key, u.Key, u.Key))
	}
	if f := c.file(u.ID); f.Status != blobs.StatusUploaded || f.Size != 5 || f.Revision != 2 {
		t.Errorf("after the hint it is %+v", f)
	}
	for _, other := range []blobs.Upload{empty, wrong} {
		if f := c.file(other.ID); f.Status != blobs.StatusPending {
			t.Errorf("what the store does not have is %+v", f)
		}
	}
	other := c.begin(textFile(5))
	c.put(*other.Put, "hello")
	c.tell(told(other.Key), "Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "com.example.s3")
	if f := c.file(other.ID); f.Status != blobs.StatusUploaded {
		t.Errorf("after a CloudEvent it is %+v", f)
	}
	c.as("ann", "submit", "read", "manage").refused(http.StatusForbidden, "not-allowed", http.MethodPost, "/v1/events", told(u.Key))
}

// testShuffled tells of files of every status, in any order, several times: each is as the store and its owner have it.
func testShuffled(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	want, keys, bodies := map[string]blobs.Status{}, []string{}, map[string]string{}
	for i := range 8 {
		body := patterned(5 + i)
		u := c.begin(textFile(len(body)))
		want[u.ID], keys = blobs.StatusPending, append(keys, u.Key)
		if i%4 == 0 {
			continue
		}
		c.put(*u.Put, body)
		want[u.ID], bodies[u.ID] = blobs.StatusUploaded, body
		switch i % 4 {
		case 2:
			c.complete(u.ID)
			keys = append(keys, c.move(u.ID, "in/moved/").Key)
		case 3:
			c.complete(u.ID)
			c.delete(u.ID)
			want[u.ID] = blobs.StatusDeleted
		}
	}
	order := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		again := append(append([]string{}, keys...), keys...)
		order.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		c.tell(told(again[:len(keys)]...))
		c.tell(told(again[len(keys):]...))
	}
	c.tell(told(keys...))
	for id, status := range want {
		f := c.file(id)
		if f.Status != status {
			t.Errorf("want %s: %+v", status, f)
		}
		if status == blobs.StatusUploaded && c.read(id) != bodies[id] {
			t.Errorf("other bytes came back of %+v", f)
		}
		if status == blobs.StatusDeleted {
			target.awaitGone(t, f.Key)
		}
	}
}

func testBadHints(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	for _, body := range []string{`"nonsense"`, `{`, `[]`, "\xff", `{"Records":{}}`, `{"Records":[{"s3":{"object":{"key":5}}}]}`} {
		c.refused(http.StatusBadRequest, "invalid-request", http.MethodPost, "/v1/events", []byte(body))
	}
	many := make([]string, 1001)
	for i := range many {
		many[i] = "in/a"
	}
	c.refused(http.StatusBadRequest, "invalid-request", http.MethodPost, "/v1/events", told(many...), "1000")
	for _, key := range []string{"%zz", "a%00b", "%ff", "..%2f..%2fetc", ""} {
		text, err := json.Marshal(map[string]any{"Records": []any{map[string]any{"s3": map[string]any{"object": map[string]any{"key": key}}}, nil}})
		if err != nil {
			t.Fatal(err)
		}
		c.tell(text)
	}
	c.tell([]byte(`{"Service":"store","Event":"s3:TestEvent"}`))
	if got := c.must(http.StatusUnauthorized, http.MethodPost, "/v1/events?access_token="+c.token, nil, nil, "Authorization", "x"); len(got.body) == 0 {
		t.Error("no problem")
	}
}
