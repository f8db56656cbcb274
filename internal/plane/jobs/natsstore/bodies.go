package natsstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/machine"
)

const (
	// inline is the size up to which a content travels in the log and is kept in memory.
	inline = 1 << 10
	// partBytes of a content in one message, less than the least limit that servers have.
	partBytes = 512 << 10
	// parallel calls for the contents of one batch.
	parallel = 16
	// orphanAge is how old a content is at least that no job has, as its entry may be on its way, and orphansEvery how
	// often they are looked for.
	orphanAge, orphansEvery = 10 * time.Minute, time.Hour
)

// put writes a content, before the entry that names it. No two have the same name, so that what one change wrote is
// never replaced by another.
func (s *Store) put(ctx context.Context, e *engine, b plane.Body) (machine.Content, error) {
	if len(b.Data) <= inline {
		return machine.Inline(b), nil
	}
	ref := rand.Text()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	for i, rest := 0, b.Data; len(rest) > 0; i++ {
		part := rest[:min(partBytes, len(rest))]
		rest = rest[len(part):]
		m := nats.NewMsg(e.bodySubject(ref, strconv.Itoa(i)))
		m.Data = part
		_, err := ask(ctx, s, func(ctx context.Context) (*jetstream.PubAck, error) {
			return e.js.PublishMsg(ctx, m, jetstream.WithMsgID(m.Subject))
		})
		if err != nil {
			s.discard([]string{ref})
			s.missing(e, err)
			return machine.Content{}, fmt.Errorf("%w: write a content: %w", ErrAway, err)
		}
	}
	return machine.Content{Type: b.ContentType, Ref: ref, Size: int64(len(b.Data))}, nil
}

// get reads a content.
func (s *Store) get(ctx context.Context, c machine.Content) (plane.Body, error) {
	if c.Ref == "" {
		return c.Body(), nil
	}
	e, err := s.usable()
	if err != nil {
		return plane.Body{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	out := plane.Body{ContentType: c.Type, Data: make([]byte, 0, c.Size)}
	for i := 0; int64(len(out.Data)) < c.Size; i++ {
		part, err := s.part(ctx, e, e.bodySubject(c.Ref, strconv.Itoa(i)))
		if err != nil {
			return plane.Body{}, fmt.Errorf("read a content: %w", err)
		}
		out.Data = append(out.Data, part...)
	}
	return out, nil
}

// part reads a message of a content. Any member may answer, and only the stream's leader knows that there is none: others
// may not have it yet.
func (s *Store) part(ctx context.Context, e *engine, subject string) ([]byte, error) {
	m, err := once(ctx, firstTry, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return e.bodies.GetLastMsgForSubject(ctx, subject)
	})
	if err == nil {
		return m.Data, nil
	}
	return ask(ctx, s, func(ctx context.Context) ([]byte, error) { return e.fromLeader(ctx, subject) })
}

// fromLeader reads a message of a content as its stream's leader has it.
func (e *engine) fromLeader(ctx context.Context, subject string) ([]byte, error) {
	body, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return nil, err
	}
	m, err := e.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+e.prefix+"-bodies", body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Data []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, err
	}
	switch {
	case answer.Error == nil:
		return answer.Message.Data, nil
	case answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, jetstream.ErrMsgNotFound
	}
	return nil, answer.Error
}

// missing has the streams be prepared anew where the engine has no such stream, rather than no leader for it just now.
func (s *Store) missing(e *engine, err error) {
	if !errors.Is(err, jetstream.ErrNoStreamResponse) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), firstTry)
	defer cancel()
	if _, err := e.bodies.Info(ctx); errors.Is(err, jetstream.ErrStreamNotFound) && s.engine.CompareAndSwap(e, nil) {
		poke(s.restart)
	}
}

// each calls f for 0 to n-1, in parallel where it takes a call of the engine.
func each(ctx context.Context, n int, remote func(i int) bool, f func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range n {
		if remote(i) {
			g.Go(func() error { return f(ctx, i) })
		} else if err := f(ctx, i); err != nil {
			return errors.Join(err, g.Wait())
		}
	}
	return g.Wait()
}

// discard removes contents that no job has, some time. What is not removed then is found by orphaned.
func (s *Store) discard(refs []string) {
	if len(refs) == 0 {
		return
	}
	select {
	case s.garbage <- refs:
	default:
	}
}

// collect removes what was discarded.
func (s *Store) collect(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case refs := <-s.garbage:
			for _, ref := range refs {
				if err := s.remove(ctx, ref); err != nil {
					s.cfg.Log.Debug("a content is removed later", "error", err)
					break
				}
			}
		}
	}
}

func (s *Store) remove(ctx context.Context, ref string) error {
	e := s.engine.Load()
	if e == nil {
		return ErrAway
	}
	return e.bodies.Purge(ctx, jetstream.WithPurgeSubject(e.bodySubject(ref, "*")))
}

// removeOrphans removes contents whose entry was never written, as the plane died between the two, and those that a
// dead plane was about to remove. It looks once an hour. How old one is the engine says, by its own clock: those of the
// replicas may differ.
func (s *Store) removeOrphans(ctx context.Context, e *engine) error {
	last, now := s.orphans.Load(), s.cfg.Clock.Now()
	if last != nil && now.Sub(*last) < orphansEvery || !s.orphans.CompareAndSwap(last, &now) {
		return nil
	}
	info, err := e.bodies.Info(ctx, jetstream.WithSubjectFilter(e.bodySubject("*", "*")))
	if err != nil {
		return fmt.Errorf("list the contents: %w", err)
	}
	// What this replica does not know of yet is no orphan: it may have been behind for longer than orphanAge.
	if err := s.sync(ctx); err != nil {
		return err
	}
	known := map[string]bool{}
	s.replica.Read(func(st *machine.State) { st.Refs(func(ref string) { known[ref] = true }) })
	var orphans []string
	for subject := range info.State.Subjects {
		ref := strings.Split(subject, ".")[2]
		if known[ref] {
			continue
		}
		known[ref] = true
		written, err := e.bodies.GetLastMsgForSubject(ctx, subject)
		if err == nil && info.TimeStamp.Sub(written.Time) > s.orphanAge {
			orphans = append(orphans, ref)
		}
	}
	s.discard(orphans)
	return nil
}
