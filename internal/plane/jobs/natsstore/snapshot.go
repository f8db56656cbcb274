package natsstore

import (
	"bytes"
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

// head says which snapshot is the newest whole one. It is written after all its chunks, and before the log is cut.
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
		err := s.snapshot(ctx, func(string) error { return nil })
		if err == nil || ctx.Err() != nil {
			continue
		}
		s.cfg.Log.Warn("the queue's log is not shortened yet", "error", err)
		timer := s.cfg.Clock.NewTimer(snapshotPause)
		select {
		case <-ctx.Done():
		case <-timer.C():
		}
		timer.Stop()
	}
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
	if err := before("purge"); err != nil {
		return err
	}
	if err := e.log.Purge(ctx, jetstream.WithPurgeSequence(newest.Applied+1)); err != nil {
		return fmt.Errorf("cut the log: %w", err)
	}
	s.position.mu.Lock()
	s.position.since.entries, s.position.since.bytes, s.position.since.last = 0, 0, newest.Bytes
	s.position.mu.Unlock()
	if err := before("clean"); err != nil {
		return err
	}
	return s.clean(ctx, e, newest.ID)
}

// capture is the state, and what is to be said of it, at one position.
func (s *Store) capture() (head, []byte) {
	s.position.mu.Lock()
	defer s.position.mu.Unlock()
	state := s.replica.Freeze().Encode()
	sum := sha256.Sum256(state)
	return head{
		Version: version, Applied: s.position.applied, Entry: s.position.id, Bytes: int64(len(state)), Sum: sum[:],
		ID:     strconv.FormatInt(s.cfg.Clock.Now().UnixMilli(), 36) + "-" + rand.Text(),
		Chunks: (len(state) + partBytes - 1) / partBytes,
	}, state
}

func (s *Store) writeChunks(ctx context.Context, e *engine, id string, state []byte, before func(string) error) error {
	for i := 0; len(state) > 0; i++ {
		chunk := state[:min(partBytes, len(state))]
		state = state[len(chunk):]
		m := nats.NewMsg(e.snapshotSubject(id, strconv.Itoa(i)))
		m.Data = chunk
		if _, err := e.js.PublishMsg(ctx, m); err != nil {
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
	data, err := json.Marshal(h)
	if err != nil {
		return head{}, err
	}
	for {
		known, seq, err := readHead(ctx, e)
		if err != nil {
			return head{}, err
		}
		if known != nil && known.Applied >= h.Applied {
			return *known, nil
		}
		m := nats.NewMsg(e.headSubject())
		m.Data = data
		if _, err = e.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(seq)); !overtaken(err) {
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
func readHead(ctx context.Context, e *engine) (*head, uint64, error) {
	m, err := e.snapshots.GetLastMsgForSubject(ctx, e.headSubject())
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

// clean removes the chunks of other snapshots than the newest, but for those of one that may still be being written.
func (s *Store) clean(ctx context.Context, e *engine, newest string) error {
	info, err := e.snapshots.Info(ctx, jetstream.WithSubjectFilter(e.snapshotSubject("*", "*")))
	if err != nil {
		return fmt.Errorf("list the snapshots: %w", err)
	}
	gone := map[string]bool{newest: true}
	for subject := range info.State.Subjects {
		id := strings.Split(subject, ".")[2]
		if gone[id] || s.underWay(id, newest) {
			continue
		}
		gone[id] = true
		if err := e.snapshots.Purge(ctx, jetstream.WithPurgeSubject(e.snapshotSubject(id, "*"))); err != nil {
			return fmt.Errorf("remove an old snapshot: %w", err)
		}
	}
	return nil
}

// underWay reports whether another replica may be writing the snapshot: it is newer than the newest, and young.
func (s *Store) underWay(id, newest string) bool {
	began, _, _ := strings.Cut(id, "-")
	than, _, _ := strings.Cut(newest, "-")
	ms, err := strconv.ParseInt(began, 36, 64)
	return err == nil && began >= than && s.cfg.Clock.Since(time.UnixMilli(ms)) < 2*snapshotTimeout
}

// load starts from the newest snapshot.
func (s *Store) load(ctx context.Context, e *engine) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	h, _, err := readHead(ctx, e)
	if err != nil {
		return err
	}
	state, at := machine.New(), head{}
	if h != nil {
		if state, err = readState(ctx, e, *h); err != nil {
			return err
		}
		at = *h
	}
	info, err := e.log.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask for the log's state: %w", err)
	}
	if first := info.State.FirstSeq; first > at.Applied+1 {
		return fmt.Errorf("the log begins at %d, and the newest snapshot ends at %d", first, at.Applied)
	}
	if info.State.LastSeq < at.Applied {
		return fmt.Errorf("the log ends at %d, and the newest snapshot at %d: the engine lost what it had acknowledged", info.State.LastSeq, at.Applied)
	}
	s.position.mu.Lock()
	defer s.position.mu.Unlock()
	if s.position.applied > info.State.LastSeq {
		s.cfg.Log.Error("the engine lost changes of the queue that it had acknowledged",
			"acknowledged", s.position.applied, "has", info.State.LastSeq)
	}
	s.replica.Reset(state)
	s.position.applied, s.position.id = at.Applied, at.Entry
	s.position.since.entries, s.position.since.bytes, s.position.since.last = 0, 0, at.Bytes
	return nil
}

func readState(ctx context.Context, e *engine, h head) (*machine.State, error) {
	var b bytes.Buffer
	for i := range h.Chunks {
		m, err := e.snapshots.GetLastMsgForSubject(ctx, e.snapshotSubject(h.ID, strconv.Itoa(i)))
		if err != nil {
			return nil, fmt.Errorf("read chunk %d of the snapshot: %w", i, err)
		}
		b.Write(m.Data)
	}
	if sum := sha256.Sum256(b.Bytes()); !bytes.Equal(sum[:], h.Sum) {
		return nil, errors.New("the newest snapshot is damaged")
	}
	return machine.Restore(b.Bytes())
}
