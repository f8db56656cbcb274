package member

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// name the pods that have a's name, the newest first, in a table of the epoch; a owns partition 0.
func name(t *testing.T, store *table.Memory, epoch uint64, pods ...string) {
	t.Helper()
	write(t, store, epoch, 1, []int{0, 1})
	s, v, err := store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Incarnations = map[string][]string{"a": pods, "b": {"other"}}
	s.Table.Epoch++
	if _, err := store.Write(t.Context(), s, v); err != nil {
		t.Fatal(err)
	}
}

// pod has a shard be the pod of a UID, which had a former process a moment ago for all it knows.
func pod(uid string) func(*Options) {
	return func(o *Options) { o.Incarnation, o.Settle = uid, time.Hour }
}

func (s *shard) await(what string, ok func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if !s.member.own.until(ctx, ok) {
		s.t.Fatalf("waited in vain for %s", what)
	}
}

func TestAPodServesOnceItIsNamed(t *testing.T) {
	for of, before := range map[string][]string{"the first pod": nil, "one after others": {"one", "zero"}} {
		t.Run(of, func(t *testing.T) {
			t.Parallel()
			store := &table.Memory{}
			name(t, store, 5, before...)
			s := startShard(t, "a", store, echo, pod("two"))
			// No process of a pod that is not known yet ever passed anything on.
			s.await("it to be settled", func() bool { return s.member.own.settled && s.member.own.state.Table.Epoch == 6 })
			if err := s.member.look(t.Context()); err == nil || !strings.Contains(err.Error(), "does not say yet") {
				t.Errorf("it is ready: %v", err)
			}
			for _, verb := range []string{wire.Fence, wire.Import, wire.Drop} {
				if status, text := s.order(1, verb, wire.Order{Epoch: 6, Term: 1, Milliseconds: 100}); status != http.StatusServiceUnavailable || !strings.Contains(text, "not-named") {
					t.Errorf("%s: %d %s", verb, status, text)
				}
			}
			if word := s.word(); word.Incarnation != "two" || len(word.Serving) > 0 || !word.Settled {
				t.Errorf("its word is %+v", word)
			}
			if status, _, _ := s.request(http.MethodGet, "/", "", planeconfig.HeaderPartition, "0"); status != http.StatusMisdirectedRequest {
				t.Errorf("answered %d", status)
			}
			// A request that waits already is served when it is named.
			answered := make(chan int, 1)
			go func() {
				status, _, _ := s.request(http.MethodGet, "/", "", planeconfig.HeaderPartition, "0")
				answered <- status
			}()
			name(t, store, 7, append([]string{"two"}, before...)...)
			if status := <-answered; status != http.StatusOK {
				t.Errorf("once it is named it answered %d", status)
			}
			if err := s.member.look(t.Context()); err != nil {
				t.Errorf("it is not ready: %v", err)
			}
		})
	}
}

// TestAProcessThatIsStartedAnewIsNotSettled: the one before it in this pod may have passed something on.
func TestAProcessThatIsStartedAnewIsNotSettled(t *testing.T) {
	for of, pods := range map[string][]string{"named": {"two", "one"}, "superseded": {"three", "two"}} {
		t.Run(of, func(t *testing.T) {
			store := &table.Memory{}
			name(t, store, 5, pods...)
			s := startShard(t, "a", store, echo, pod("two"))
			s.await("the table", func() bool { return s.member.own.state.Table.Epoch == 6 })
			if s.word().Settled {
				t.Error("it is settled")
			}
		})
	}
	t.Run("while the table is lost", func(t *testing.T) {
		store := &table.Memory{}
		s := startShard(t, "a", store, echo, pod("two"))
		if status, _, _ := s.request(http.MethodGet, "/", "", planeconfig.HeaderPartition, "0"); status != http.StatusMisdirectedRequest {
			t.Errorf("answered %d", status)
		}
		s.await("the first table to be read", func() bool { return s.member.readFirst.Load() })
		name(t, store, 5)
		s.await("the table", func() bool { return s.member.own.state.Table.Epoch == 6 })
		if s.word().Settled {
			t.Error("it is settled")
		}
	})
}

// TestASupersededPodServesNothing from the moment on that it hears of the other one, whatever it hears later.
func TestASupersededPodServesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended := make(chan error, 1)
	store := &table.Memory{}
	name(t, store, 5, "two", "one")
	s := startShard(t, "a", store, chat(ended), pod("two"))
	s.await("the table", func() bool { return s.member.own.state.Table.Epoch == 6 })
	socket := dial(ctx, t, s)
	if err := socket.Write(ctx, websocket.MessageText, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := socket.Read(ctx); err != nil {
		t.Fatal(err)
	}
	name(t, store, 7, "three", "two", "one")
	if _, _, err := socket.Read(ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("its WebSocket ended with %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the container's end of it goes on")
	}
	refuses := func() {
		t.Helper()
		status, header, text := s.request(http.MethodGet, "/", "", planeconfig.HeaderPartition, "0", planeconfig.HeaderEpoch, "99")
		if status != http.StatusMisdirectedRequest || header.Get(planeconfig.HeaderNotProcessed) != "true" || !strings.Contains(text, "another pod is a") {
			t.Errorf("answered %d %v %s", status, header, text)
		}
		if err := s.member.look(ctx); err == nil || !strings.Contains(err.Error(), "another pod is a") {
			t.Errorf("it is ready: %v", err)
		}
		if status, text := s.order(1, wire.Fence, wire.Order{Epoch: 5, Term: 1}); status != http.StatusMisdirectedRequest {
			t.Errorf("a fence: %d %s", status, text)
		}
		if word := s.word(); len(word.Serving) > 0 {
			t.Errorf("its word is that it serves %v", word.Serving)
		}
	}
	refuses()
	// A table that was made anew knows less, and one that is wrong does not bring it back.
	for i, pods := range [][]string{nil, {"two"}} {
		epoch := uint64(10 + 2*i)
		name(t, store, epoch, pods...)
		s.await("the table", func() bool { return s.member.own.state.Table.Epoch == epoch+1 })
		refuses()
	}
}

func (s *shard) word() wire.Word {
	s.t.Helper()
	_, _, text := s.request(http.MethodGet, wire.Partitions, "")
	var word wire.Word
	if err := json.Unmarshal([]byte(text), &word); err != nil {
		s.t.Fatal(err)
	}
	return word
}
