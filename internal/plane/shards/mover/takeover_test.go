package mover_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/shards/mover"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// words are what members say of themselves; one that has nil does not answer, and the others have no pod.
type words map[string]*wire.Word

// Member implements table.Members.
func (w words) Member(id string) (table.Member, bool) {
	_, ok := w[id]
	return table.Member{Address: id + ":1", Incarnation: id + "-uid"}, ok
}

// RoundTrip implements http.RoundTripper.
func (w words) RoundTrip(r *http.Request) (*http.Response, error) {
	word := w[r.URL.Hostname()]
	if word == nil || r.Method != http.MethodGet {
		return nil, errors.New("no route to host")
	}
	out := *word
	out.Member, out.Incarnation = r.URL.Hostname(), r.URL.Hostname()+"-uid"
	data, err := json.Marshal(out)
	return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(bytes.NewReader(data))}, err
}

// lines are what was logged.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) have(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.all.String(), text)
}

func members(ids ...string) []ring.Member {
	var out []ring.Member
	for _, id := range ids {
		out = append(out, ring.Member{ID: id})
	}
	return out
}

// grown is a history of n memberships, each of one member more or less, from an epoch on.
func grown(from uint64, n int) []table.Membership {
	var out []table.Membership
	for i := range n {
		ids := []string{"a", "b", "c"}
		out = append(out, table.Membership{Epoch: from + uint64(i), Members: members(ids[:2+i%2]...)})
	}
	return out
}

func replayed(t *testing.T, history []table.Membership, epoch uint64) ring.Table {
	t.Helper()
	out, err := ring.Replay(partitions, history)
	if err != nil {
		t.Fatal(err)
	}
	out.Epoch = epoch
	return out
}

// TestRebuild is what becomes of a table that is not there. Either it is made anew, or why it is not is said and nothing is.
func TestRebuild(t *testing.T) {
	t.Parallel()
	known := replayed(t, grown(1, 100), 400)
	// It is not what any history leads to, as there are pins.
	known.Owners[0], known.Owners[1] = known.Owners[1], known.Owners[0]
	older := replayed(t, grown(1, 3), 390)
	of := func(t ring.Table, epoch uint64) ring.Table {
		t = t.Clone()
		t.Epoch = epoch
		return t
	}
	three := replayed(t, grown(1, 64), 700)
	// One is pinned to where no history has it.
	three.Owners[2] = (three.Owners[2] + 1) % len(three.Members)
	left := three.Clone()
	left.Members = append(left.Members, ring.Member{ID: "d"})
	pinned := map[int]string{2: three.Members[three.Owners[2]].ID}
	other, err := ring.New(2 * partitions)
	if err != nil {
		t.Fatal(err)
	}
	other = ring.Rebalance(other, members("a"))
	for name, c := range map[string]struct {
		wanted  []string
		pins    map[int]string
		lost    ring.Table
		history []table.Membership
		words   words
		want    ring.Table
		term    uint64
		says    string
		// published and not yet said by whom.
		published bool
	}{
		"a new set": {wanted: []string{"a", "b"}, words: words{"a": {}}, want: replayed(t, grown(1, 1), 1), term: 1},
		"nobody knows, and it was at rest": {wanted: []string{"a", "b", "c"}, pins: pinned, lost: three, history: grown(1, 64), words: words{"a": {Term: 6}, "b": {Term: 9}},
			want: of(three, 701), term: 10},
		"nobody knows, and it was at rest, after more memberships than are kept": {wanted: []string{"a", "b", "c"}, pins: pinned, lost: three, history: grown(37, 64), words: words{"a": {}},
			want: of(three, 701), term: 1},
		"nobody knows, and one that went has yet to forget": {wanted: []string{"a", "b", "c"}, pins: pinned, lost: left, history: grown(1, 64), words: words{"a": {}}, want: of(three, 701), term: 1},
		"nobody knows, and partitions were on their way":    {wanted: []string{"a", "b", "c"}, history: grown(1, 64), words: words{"a": {}}, says: "partitions were on their way when it was seen last"},
		"nobody knows, and nothing is told yet":             {wanted: []string{"a", "b", "c"}, published: true, words: words{"a": {}}, says: "the table is lost, no shard knows it"},
		"nobody knows, and others are to be members":        {wanted: []string{"a", "b"}, pins: pinned, lost: three, history: grown(1, 64), words: words{"a": {}}, says: "are others than when it was seen last"},
		"nobody knows, and other partitions are pinned":     {wanted: []string{"a", "b", "c"}, pins: map[int]string{2: known.Members[known.Owners[2]].ID}, lost: three, history: grown(1, 64), words: words{"a": {}}, says: "are others than when it was seen last"},
		"what was seen last is older than what one knows":   {wanted: []string{"a", "b", "c"}, lost: of(three, 399), history: grown(1, 64), words: words{"c": {Table: known}}, want: of(known, 401), term: 1},
		"what was seen last is newer than what one knows":   {wanted: []string{"a", "b", "c"}, lost: of(three, 401), history: grown(1, 64), words: words{"c": {Table: known}}, want: of(three, 402), term: 1},
		"two know": {wanted: []string{"a", "b", "c"}, history: grown(1, 64), words: words{"a": {Table: known, Term: 4}, "b": {Table: older, Term: 5}, "c": {}}, want: of(known, 401), term: 6},
		"one knows, and the history has lost its head": {wanted: []string{"a", "b", "c"}, history: grown(37, 64), words: words{"a": {Table: older}, "c": {Table: known}}, want: of(known, 401), term: 1},
		"one that may know does not answer":            {wanted: []string{"a", "b", "c"}, history: grown(1, 64), words: words{"a": {}, "b": nil}, says: "a pod that may know one does not answer"},
		"one of the past may know":                     {wanted: []string{"a", "b"}, history: grown(1, 64), words: words{"a": {}, "b": {}, "c": nil}, says: "a pod that may know one does not answer"},
		"another number of partitions":                 {wanted: []string{"a"}, words: words{"a": {Table: other}}, says: "their number can not change"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, log := &table.Memory{}, &lines{}
			m := mover.New(mover.Options{
				Wanted: func() mover.Wanted {
					return mover.Wanted{Partitions: partitions, Members: members(c.wanted...), Pins: c.pins, Published: c.published || len(c.history) > 0, Lost: c.lost, History: c.history, Paused: true}
				},
				Store: store, Members: c.words, Client: &http.Client{Transport: c.words}, Token: func() string { return testToken },
				Backoff: mover.Backoff{First: time.Millisecond, Most: time.Second}, Log: slog.New(slog.NewTextHandler(log, nil)),
			})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var run sync.WaitGroup
			run.Go(func() { _ = m.Run(ctx) })
			defer run.Wait()
			defer cancel()
			if c.says != "" {
				for ; !log.have(c.says); rest(ctx) {
					if ctx.Err() != nil {
						t.Fatalf("it never said %q, but %s", c.says, log.all.String())
					}
				}
				if s, _, _ := store.Read(t.Context()); s.Table.Partitions > 0 {
					t.Errorf("a table was made all the same: %v", s.Table)
				}
				return
			}
			w := &world{t: t, store: store}
			s := w.await("a table", func(s table.State) bool { return s.Table.Partitions > 0 })
			if diff := cmp.Diff(c.want.Owners, s.Table.Owners); diff != "" || s.Table.Epoch < c.want.Epoch || s.Term != c.term {
				t.Errorf("epoch %d and term %d, want %d and %d; owners (-want +got):\n%s", s.Table.Epoch, s.Term, c.want.Epoch, c.term, diff)
			}
			for id := range c.words {
				if diff := cmp.Diff([]string{id + "-uid"}, s.Incarnations[id]); diff != "" {
					t.Errorf("the pods of %s (-want +got):\n%s", id, diff)
				}
			}
		})
	}
}
