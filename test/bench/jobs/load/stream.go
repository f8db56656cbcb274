package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	consumerName = "workers"
	// echo is the subject of the bare request.
	echo = "echo"
)

// stream is JetStream alone: a stream of a work queue, on file, and one consumer that pulls and acknowledges.
type stream struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	name string
}

func (s *stream) subject() string { return "raw." + s.name }

func openStream(ctx context.Context, t Target) (*stream, error) {
	nc, err := nats.Connect(t.NATS)
	if err != nil {
		return nil, err
	}
	s := &stream{nc: nc, name: t.Name}
	if s.js, err = jetstream.New(nc); err == nil {
		_, err = s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
			Name: s.name, Subjects: []string{s.subject()}, Storage: jetstream.FileStorage, Retention: jetstream.WorkQueuePolicy,
		})
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("prepare the stream: %w", err)
	}
	return s, nil
}

func (s *stream) close() { s.nc.Close() }

// submit publishes and waits for the acknowledgement; several are on the way at once.
func (s *stream) submit(ctx context.Context, tasks ...task) error {
	if len(tasks) == 1 {
		_, err := s.js.Publish(ctx, s.subject(), tasks[0].encode())
		return err
	}
	acks := make([]jetstream.PubAckFuture, 0, len(tasks))
	for _, t := range tasks {
		ack, err := s.js.PublishAsync(s.subject(), t.encode())
		if err != nil {
			return err
		}
		acks = append(acks, ack)
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// work acknowledges each message and waits until the server says that it has noted that.
func (s *stream) work(ctx context.Context, atOnce int, started func(task), completed func()) error {
	consumer, err := s.js.CreateOrUpdateConsumer(ctx, s.name, jetstream.ConsumerConfig{
		Durable: consumerName, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxAckPending: atOnce,
	})
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	messages, err := consumer.Messages(jetstream.PullMaxMessages(atOnce))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		m, err := messages.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		running.Go(func() {
			var t task
			err := json.Unmarshal(m.Data(), &t)
			if err == nil {
				started(t)
				err = m.DoubleAck(ctx)
			}
			if err != nil {
				cancel(err)
				return
			}
			completed()
		})
	}
}

// requests asks somebody who only answers, over a connection of their own.
func requests(ctx context.Context, uri string, n int, every time.Duration) ([]time.Duration, error) {
	answering, err := nats.Connect(uri)
	if err != nil {
		return nil, err
	}
	defer answering.Close()
	if _, err := answering.Subscribe(echo, func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		return nil, err
	}
	if err := answering.Flush(); err != nil {
		return nil, err
	}
	asking, err := nats.Connect(uri)
	if err != nil {
		return nil, err
	}
	defer asking.Close()
	var took []time.Duration
	err = paced(ctx, n, every, func(i int) error {
		began := time.Now()
		_, err := asking.RequestWithContext(ctx, echo, newTask(i).encode())
		took = append(took, time.Since(began))
		return err
	})
	return took, err
}
