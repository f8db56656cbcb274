package postgres

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	engine "github.com/trellis-dev/trellis/internal/plane/postgres"
)

// Replicas tell each other of changes by NOTIFY, in a transaction of its own and many at once: within the
// transaction of the change it would have all commits wait for each other. A replica that dies before it told
// leaves the others to their sweeps.

const (
	// tellEvery is how long changes are gathered.
	tellEvery = 5 * time.Millisecond
	// tellBytes is what NOTIFY takes.
	tellBytes = 7900
	// tellAtMost changes are told one by one; of more, others are told to look for themselves.
	tellAtMost = 4096
	// reconnectEvery is how long a listener waits before it connects again.
	reconnectEvery = 250 * time.Millisecond
)

// Marks of a change in a notification, behind the id of the replica that tells.
const (
	markChanged = "."
	markDue     = "!"
	markMissed  = "?"
	markWake    = "*"
)

// channel that the replicas of this schema listen to.
func (s *Store) channel() string { return "trellis_jobs_" + s.config.Schema }

// announce tells the readers here at once, and other replicas soon.
func (s *Store) announce(changes ...jobs.Change) {
	if len(changes) == 0 {
		return
	}
	s.hub.publish(changes...)
	h := s.hub
	h.mu.Lock()
	if len(h.pending) <= tellAtMost {
		h.pending = append(h.pending, changes...)
	}
	h.mu.Unlock()
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

// wake has those who wait for a job look for one, here and elsewhere.
func (s *Store) wake() { s.announce(jobs.Change{Due: true}) }

// take is what is to be told.
func (h *hub) take() []jobs.Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.pending
	h.pending = nil
	if len(out) > tellAtMost {
		return []jobs.Change{{Missed: true}}
	}
	return out
}

// tell sends what was announced until ctx ends, and then what is left.
func (s *Store) tell(ctx context.Context) {
	for wait(ctx, tellEvery) {
		select {
		case <-ctx.Done():
		case <-s.hub.kick:
		}
		s.send(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	s.send(last)
}

func (s *Store) send(ctx context.Context) {
	parts := pack(s.hub.take(), s.mark)
	if len(parts) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := s.pool.Exec(ctx, "SELECT pg_notify($1, p) FROM unnest($2::text[]) p", s.channel(), parts); err != nil {
		// They look for themselves: losing the connection, they miss some as well.
		s.hub.mu.Lock()
		s.hub.pending = append(s.hub.pending, jobs.Change{Missed: true})
		s.hub.mu.Unlock()
		select {
		case s.hub.kick <- struct{}{}:
		default:
		}
		wait(ctx, reconnectEvery)
	}
}

// pack puts changes into as few notifications as there must be.
func pack(changes []jobs.Change, mark string) []string {
	var out []string
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			out = append(out, mark+b.String())
			b.Reset()
		}
	}
	for _, c := range changes {
		switch {
		case c.Missed:
			b.WriteString(markMissed)
		case c.ID == "":
			b.WriteString(markWake)
		default:
			id, err := parseID(c.ID)
			if err != nil {
				continue
			}
			if c.Due {
				b.WriteString(markDue)
			} else {
				b.WriteString(markChanged)
			}
			b.WriteString(base64.RawURLEncoding.EncodeToString(id.Bytes[:]))
		}
		if b.Len() > tellBytes-64 {
			flush()
		}
	}
	flush()
	return out
}

// unpack is the opposite of pack, of what another replica tells. What it can not read is missed.
func unpack(payload, mark string) []jobs.Change {
	if len(payload) < len(mark) || payload[:len(mark)] == mark {
		return nil
	}
	const length = 22 // of 16 bytes in base64
	var out []jobs.Change
	for rest := payload[len(mark):]; rest != ""; {
		if rest[:1] == markWake {
			out, rest = append(out, jobs.Change{Due: true}), rest[1:]
			continue
		}
		if rest[:1] == markMissed || len(rest) < 1+length {
			return append(out, jobs.Change{Missed: true})
		}
		raw, err := base64.RawURLEncoding.DecodeString(rest[1 : 1+length])
		if err != nil || len(raw) != 16 {
			return append(out, jobs.Change{Missed: true})
		}
		out = append(out, jobs.Change{ID: pgtype.UUID{Bytes: [16]byte(raw), Valid: true}.String(), Due: rest[:1] == markDue})
		rest = rest[1+length:]
	}
	return out
}

// listen follows the other replicas' notifications until ctx ends. What was told while it was not connected was missed.
func (s *Store) listen(ctx context.Context) {
	for {
		if err := s.follow(ctx); err != nil && ctx.Err() == nil {
			s.config.Log.Warn("the engine's notifications stopped; they are listened to again", "error", err)
		}
		if !wait(ctx, reconnectEvery) {
			return
		}
	}
}

func (s *Store) follow(ctx context.Context) error {
	dialling, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := s.target.Dial(dialling)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(dialling, "LISTEN "+pgx.Identifier{s.channel()}.Sanitize()); err != nil {
		return err
	}
	s.hub.publish(jobs.Change{Missed: true})
	for {
		waiting, cancel := context.WithTimeout(ctx, listenProbe)
		n, err := conn.WaitForNotification(waiting)
		cancel()
		switch {
		case err == nil:
			s.hub.publish(unpack(n.Payload, s.mark)...)
		case ctx.Err() != nil:
			return nil
		case waiting.Err() != nil:
			if err := probe(ctx, conn); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// listenProbe is how often a silent connection is asked whether it is one.
const listenProbe = 10 * time.Second

func probe(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, engine.ConnectTimeout)
	defer cancel()
	return conn.Ping(ctx)
}
