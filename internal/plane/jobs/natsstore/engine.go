package natsstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// duplicates is for how long the engine knows the ids of entries: far longer than one is sent again.
	duplicates = 2 * time.Minute
	// callTimeout bounds one call of the engine's API.
	callTimeout = 3 * time.Second
)

// engine is the connection and the streams of a queue.
type engine struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	prefix string
	// log has the entries, bodies the large contents and snapshots the states.
	log, bodies, snapshots jetstream.Stream
}

func (e *engine) logSubject() string { return e.prefix + ".log" }

// bodySubject of a part of a content.
func (e *engine) bodySubject(ref, part string) string { return e.prefix + ".body." + ref + "." + part }

func (e *engine) snapshotSubject(id, chunk string) string {
	return e.prefix + ".snapshot." + id + "." + chunk
}

// headSubject has what is said of the newest snapshot.
func (e *engine) headSubject() string { return e.prefix + ".head" }

// connect opens the connection, which then lasts through every restart of the engine. While the engine is away
// nothing is kept to be sent later: who called was told that it was not done.
func (s *Store) connect() (*nats.Conn, error) {
	servers, options, err := s.cfg.Connect()
	if err != nil {
		return nil, err
	}
	return nats.Connect(servers, append([]nats.Option{
		nats.Name("trellis " + s.cfg.Prefix),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(200 * time.Millisecond), nats.ReconnectJitter(200*time.Millisecond, 200*time.Millisecond),
		nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(*nats.Conn) { poke(s.restart) }),
		nats.ReconnectHandler(func(*nats.Conn) { poke(s.restart) }),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { s.live.Store(false) }),
	}, options...)...)
}

// prepare has the streams be there. It is done once, and again only after the engine said that one is not there.
func (s *Store) prepare(ctx context.Context, nc *nats.Conn) (*engine, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(callTimeout))
	if err != nil {
		return nil, err
	}
	e := &engine{nc: nc, js: js, prefix: s.cfg.Prefix}
	for _, of := range []struct {
		stream  *jetstream.Stream
		name    string
		subject []string
		change  func(*jetstream.StreamConfig)
	}{
		{&e.log, "log", []string{e.logSubject()}, func(c *jetstream.StreamConfig) { c.Duplicates = duplicates }},
		{&e.bodies, "bodies", []string{e.bodySubject("*", "*")}, func(c *jetstream.StreamConfig) { c.AllowDirect = true }},
		{&e.snapshots, "snapshots", []string{e.snapshotSubject("*", "*"), e.headSubject()}, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }},
	} {
		cfg := jetstream.StreamConfig{
			Name: e.prefix + "-" + of.name, Subjects: of.subject, Description: "of a JobQueue of Trellis",
			Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, Retention: jetstream.LimitsPolicy, Replicas: s.replicas(nc),
		}
		of.change(&cfg)
		if *of.stream, err = s.ensure(ctx, js, cfg); err != nil {
			return nil, fmt.Errorf("prepare the stream %s: %w", cfg.Name, err)
		}
	}
	return e, nil
}

// replicas that a new stream gets.
func (s *Store) replicas(nc *nats.Conn) int {
	switch {
	case s.cfg.Replicas > 0:
		return s.cfg.Replicas
	case nc.ConnectedClusterName() != "" && len(nc.Servers()) >= 3:
		return 3
	}
	return 1
}

// ensure creates a stream, or gives one that is there more replicas. It writes nothing where all is as it should be. A
// cluster that can not have more replicas just now is no reason not to serve with those that there are.
func (s *Store) ensure(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := ask(ctx, s, func(ctx context.Context) (jetstream.Stream, error) {
		stream, err := js.Stream(ctx, cfg.Name)
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return stream, err
		}
		stream, err = js.CreateStream(ctx, cfg)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return js.Stream(ctx, cfg.Name)
		}
		return stream, err
	})
	if err != nil {
		return nil, err
	}
	known := stream.CachedInfo().Config
	if known.Replicas >= cfg.Replicas {
		return stream, nil
	}
	known.Replicas = cfg.Replicas
	raised, err := once(ctx, callTimeout, func(ctx context.Context) (jetstream.Stream, error) { return js.UpdateStream(ctx, known) })
	if err != nil {
		s.cfg.Log.Warn("a stream of the queue is not given more replicas; it is tried again at the next start", "stream", cfg.Name, "wanted", cfg.Replicas, "error", err)
		return stream, ctx.Err()
	}
	return raised, nil
}
