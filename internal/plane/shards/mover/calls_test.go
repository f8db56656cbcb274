package mover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// orders are what members were asked, and word is what a's answer to a fence is.
type orders struct {
	asked []string
	word  wire.Word
	// fails is the verb that is answered by no success.
	fails string
}

// Member implements table.Members.
func (o *orders) Member(id string) (table.Member, bool) {
	return table.Member{Address: id + ":1", Incarnation: id + "-2"}, true
}

// RoundTrip implements http.RoundTripper.
func (o *orders) RoundTrip(r *http.Request) (*http.Response, error) {
	var order wire.Order
	if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
		return nil, err
	}
	_, verb, _ := wire.ParsePath(r.URL.Path)
	o.asked = append(o.asked, fmt.Sprintf("%s %s epoch %d term %d from %q", r.URL.Host, verb, order.Epoch, order.Term, order.From))
	if order.Milliseconds <= 0 || order.Milliseconds > 8000 {
		return nil, fmt.Errorf("%s is to be done in %d ms", verb, order.Milliseconds)
	}
	var out any = wire.Copied{Bytes: 5}
	switch verb {
	case o.fails:
		return nil, errors.New("no route to host")
	case wire.Fence:
		out = o.word
	}
	data, err := json.Marshal(out)
	return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(bytes.NewReader(data))}, err
}

// TestCarries a partition over only with the word of the pod that has its owner's name, and once both did their part.
func TestCarries(t *testing.T) {
	fence, load := `a:1 fence epoch 7 term 3 from ""`, `b:1 import epoch 7 term 3 from "a:1"`
	for name, c := range map[string]struct {
		word  wire.Word
		fails string
		asked []string
		says  string
	}{
		"all well":                 {word: wire.Word{Member: "a", Incarnation: "a-2"}, asked: []string{fence, load}},
		"it was not told its UID":  {word: wire.Word{Member: "a"}, asked: []string{fence, load}},
		"the owner is not reached": {fails: wire.Fence, asked: []string{fence}, says: "the fence: a did not answer"},
		"another member answers":   {word: wire.Word{Member: "b", Incarnation: "a-2"}, asked: []string{fence}, says: `a was asked, and "b" answered`},
		"a former pod answers":     {word: wire.Word{Member: "a", Incarnation: "a-1"}, asked: []string{fence}, says: "has its name no longer"},
		"the import fails":         {word: wire.Word{Member: "a", Incarnation: "a-2"}, fails: wire.Import, asked: []string{fence, load}, says: "the import: b did not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			o := &orders{word: c.word, fails: c.fails}
			call := caller{client: &http.Client{Transport: o}, members: o, token: func() string { return "token" }, clock: clock.RealClock{}}
			_, err := call.carry(t.Context(), ring.Move{Partition: 4, From: "a", To: "b"}, 7, 3, 8*time.Second)
			if diff := cmp.Diff(c.asked, o.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error is %v, want one that says %q", err, c.says)
			}
		})
	}
}
