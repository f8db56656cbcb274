package natsstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trellis-dev/trellis/internal/plane/jobs/machine"
)

// snapshotTimeout bounds the writing and the reading of a snapshot.
const snapshotTimeout = time.Minute

// head says which snapshot is the newest whole one, and which was it before. It is written after all its chunks, and
// before the log is cut. The log is cut where the one before ends, and both are kept: so whoever finds one that was just
// overtaken goes on from it all the same, and a replica that lags by less than a snapshot needs none.
type head struct {
	Version int `json:"version"`
	// Applied is the last entry that the snapshot has in it, and Entry its id.
	Applied uint64 `json:"applied"`
	Entry   string `json:"entry"`
	// ID of the chunks, and how many there are.
	ID     string `json:"id"`
	Chunks int    `json:"chunks"`
	Bytes  int64  `json:"bytes"`
	Sum    []byte `json:"sum"`
	// Before is the snapshot before, whose last entry is BeforeApplied; empty for none.
	Before        string `json:"before,omitempty"`
	BeforeApplied uint64 `json:"beforeApplied,omitempty"`
	// Previous is how that one is read, should this one be damaged or lost: the log goes on from there too. A head that an older
	// plane wrote has none.
	Previous *head `json:"previous,omitempty"`
}

// snapshotPause follows a snapshot that failed.
const snapshotPause = 10 * time.Second

// shorten writes a snapshot each time that the log has become long.
func (s *Store) shorten(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.long:
		}
		err := s.shortenOnce(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		s.cfg.Log.Warn("the queue's log is not shortened yet", "error", err)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			s.engine.Store(nil)
			poke(s.restart)
		}
		_ = s.pause(ctx, snapshotPause)
	}
}

// shortenOnce does so unless another replica did it a moment ago, as all of them see the log grow.
func (s *Store) shortenOnce(ctx context.Context) error {
	e, err := s.usable()
	if err != nil {
		return err
	}
	newest, _, err := s.readHead(ctx, e)
	if err != nil {
		return err
	}
	if newest != nil && !s.position.sinceHead(newest).long(&s.cfg) {
		return nil
	}
	return s.snapshot(ctx, func(string) error { return nil })
}

// snapshot writes the state and cuts the log. It may end at any step, and the queue goes on all the same; before is
// called before each.
func (s *Store) snapshot(ctx context.Context, before func(step string) error) error {
	e, err := s.usable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	h, state := s.capture()
	if err := before("chunks"); err != nil {
		return err
	}
	if err := s.writeChunks(ctx, e, h.ID, state, before); err != nil {
		return fmt.Errorf("write a snapshot: %w", err)
	}
	if err := before("head"); err != nil {
		return err
	}
	newest, err := s.writeHead(ctx, e, h)
	if err != nil {
		return fmt.Errorf("write a snapshot: %w", err)
	}
	s.position.sinceHead(&newest)
	if err := before("purge"); err != nil {
		return err
	}
	if err := s.cut(ctx, e, newest.BeforeApplied); err != nil {
		return err
	}
	if err := before("clean"); err != nil {
		return err
	}
	return s.clean(ctx, e, newest)
}

// cut removes the entries of the log up to one. Where the log ends before it, the next one has the number after it.
func (s *Store) cut(ctx context.Context, e *engine, last uint64) error {
	if last == 0 {
		return nil
	}
	_, err := ask(ctx, s, func(ctx context.Context) (none, error) {
		return none{}, e.log.Purge(ctx, jetstream.WithPurgeSequence(last+1))
	})
	if err != nil {
		return fmt.Errorf("cut the log: %w", err)
	}
	return nil
}

// none is what a request answers that answers nothing.
type none struct{}

// capture is the state, and what is to be said of it, at one position. While it is encoded the queue goes on.
func (s *Store) capture() (head, []byte) {
	s.position.mu.Lock()
	frozen := s.replica.Freeze()
	h := head{Version: version, Applied: s.position.applied, Entry: s.position.id}
	s.position.mu.Unlock()
	state := frozen.Encode()
	sum := sha256.Sum256(state)
	h.ID = strconv.FormatUint(h.Applied, 10) + "-" + rand.Text()
	h.Bytes, h.Sum, h.Chunks = int64(len(state)), sum[:], (len(state)+partBytes-1)/partBytes
	return h, state
}

func (s *Store) writeChunks(ctx context.Context, e *engine, id string, state []byte, before func(string) error) error {
	for i := 0; len(state) > 0; i++ {
		chunk := state[:min(partBytes, len(state))]
		state = state[len(chunk):]
		m := nats.NewMsg(e.snapshotSubject(id, strconv.Itoa(i)))
		m.Data = chunk
		_, err := ask(ctx, s, func(ctx context.Context) (*jetstream.PubAck, error) { return e.js.PublishMsg(ctx, m) })
		if err != nil {
			return err
		}
		if err := before("chunk " + strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}

// writeHead has a snapshot be the newest, unless another replica wrote a newer one; it returns which it is.
func (s *Store) writeHead(ctx context.Context, e *engine, h head) (head, error) {
	for {
		known, seq, err := s.readHead(ctx, e)
		if err != nil {
			return head{}, err
		}
		if known != nil && known.Applied >= h.Applied {
			return *known, nil
		}
		if known != nil {
			h.Before, h.BeforeApplied, h.Previous = known.ID, known.Applied, known
			known.Previous = nil
		}
		data, err := json.Marshal(h)
		if err != nil {
			return head{}, err
		}
		m := nats.NewMsg(e.headSubject())
		m.Data = data
		_, err = ask(ctx, s, func(ctx context.Context) (*jetstream.PubAck, error) {
			return e.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(seq))
		})
		if !overtaken(err) {
			return h, err
		}
	}
}

// overtaken reports whether another replica was faster.
func overtaken(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// readHead is the head and its sequence number; nil where there is none.
func (s *Store) readHead(ctx context.Context, e *engine) (*head, uint64, error) {
	m, err := ask(ctx, s, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return e.snapshots.GetLastMsgForSubject(ctx, e.headSubject())
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read which snapshot is the newest: %w", err)
	}
	var h head
	if err := json.Unmarshal(m.Data, &h); err != nil || h.Version != version {
		return nil, 0, fmt.Errorf("the snapshot of the queue has version %d, this plane knows %d: %w", h.Version, version, machine.ErrNewer)
	}
	return &h, m.Sequence, nil
}

// clean removes the chunks of other snapshots than the newest and the one before. What is newer than the newest may be
// being written by another replica; what is older never becomes the newest any more. No clock is asked for this.
func (s *Store) clean(ctx context.Context, e *engine, newest head) error {
	info, err := ask(ctx, s, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		return e.snapshots.Info(ctx, jetstream.WithSubjectFilter(e.snapshotSubject("*", "*")))
	})
	if err != nil {
		return fmt.Errorf("list the snapshots: %w", err)
	}
	done := map[string]bool{newest.ID: true, newest.Before: true}
	for subject := range info.State.Subjects {
		id := strings.Split(subject, ".")[2]
		if done[id] || mayBecome(id, newest) {
			continue
		}
		done[id] = true
		_, err := ask(ctx, s, func(ctx context.Context) (none, error) {
			return none{}, e.snapshots.Purge(ctx, jetstream.WithPurgeSubject(e.snapshotSubject(id, "*")))
		})
		if err != nil {
			return fmt.Errorf("remove an old snapshot: %w", err)
		}
	}
	return nil
}

// mayBecome reports whether a snapshot is of a later entry than the newest is.
func mayBecome(id string, newest head) bool {
	text, _, _ := strings.Cut(id, "-")
	applied, err := strconv.ParseUint(text, 10, 64)
	return err != nil || applied > newest.Applied
}
