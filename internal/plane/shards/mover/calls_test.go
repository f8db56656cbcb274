package mover

import (
	"bytes"
	"context"
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
	// fails is the verb that is answered by no success, and late one that is answered by 504.
	fails, late string
	// insisted says of each fence whether it insisted.
	insisted []bool
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
	if verb == wire.Fence {
		o.insisted = append(o.insisted, order.Insist)
	}
	var out any = wire.Copied{Bytes: 5}
	switch verb {
	case o.late:
		return &http.Response{StatusCode: http.StatusGatewayTimeout, Request: r, Body: io.NopCloser(strings.NewReader(`{"detail":"not in time"}`))}, nil
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
			_, err := call.carry(t.Context(), ring.Move{Partition: 4, From: "a", To: "b"}, 7, 3, 8*time.Second, false)
			if diff := cmp.Diff(c.asked, o.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error is %v, want one that says %q", err, c.says)
			}
		})
	}
}

// TestInsists only once a fence waited in vain, and no longer once the partition has moved.
func TestInsists(t *testing.T) {
	o := &orders{word: wire.Word{Member: "a", Incarnation: "a-2"}, fails: wire.Fence}
	m := New(Options{Members: o, Client: &http.Client{Transport: o}, Token: func() string { return "token" }, Backoff: Backoff{First: time.Hour, Most: time.Hour}})
	r := &run{Mover: m, results: make(chan result), cancels: map[int]context.CancelFunc{}}
	r.reset()
	ctx, cancel := context.WithCancel(t.Context())
	defer r.work.Wait()
	defer cancel()
	try := func(fails, late string) {
		o.fails, o.late = fails, late
		r.view.wanted.PauseLimit = 8 * time.Second
		r.begin(ctx, step{move: []ring.Move{{Partition: 4, From: "a", To: "b"}}})
		if err := r.take(ctx, <-r.results); err != nil {
			t.Fatal(err)
		}
	}
	try(wire.Fence, "")
	try("", wire.Import)
	try("", wire.Fence)
	try(wire.Fence, "")
	try("", "")
	try("", "")
	if diff := cmp.Diff([]bool{false, false, false, true, true, false}, o.insisted); diff != "" {
		t.Errorf("insisted (-want +got):\n%s", diff)
	}
}
