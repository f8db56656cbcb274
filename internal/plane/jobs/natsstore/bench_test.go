package natsstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
)

// clients submit, and as many work, in each of the benchmarks.
const clients = 64

var payload = []byte(`{"report":"2026-03","customer":"0123456789","format":"pdf","pages":"all","language":"en"}`)

// share has clients goroutines call f until all n calls are done.
func share(n int, f func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				f(int(i))
			}
		})
	}
	all.Wait()
}

func rawStream(b *testing.B, cluster *enginetest.NATSCluster) (jetstream.JetStream, jetstream.Consumer) {
	nc, err := nats.Connect(cluster.URI())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	stream, err := js.CreateStream(b.Context(), jetstream.StreamConfig{
		Name: "raw", Subjects: []string{"raw"}, Storage: jetstream.FileStorage, Retention: jetstream.WorkQueuePolicy, Replicas: len(cluster.Members),
	})
	if err != nil {
		b.Fatal(err)
	}
	consumer, err := stream.CreateConsumer(b.Context(), jetstream.ConsumerConfig{Durable: "w", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 4096})
	if err != nil {
		b.Fatal(err)
	}
	return js, consumer
}

// What the engine does by itself: clients publish and wait for the engine's word, and others consume and
// acknowledge, and wait for its word as well: what was done must not be done again.
func BenchmarkRawJetStream(b *testing.B) {
	for _, members := range []int{1, 3} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			js, consumer := rawStream(b, enginetest.NATS(b, members))
			b.ResetTimer()
			var work sync.WaitGroup
			work.Go(func() {
				var acked sync.WaitGroup
				acked.Add(b.N)
				sem := make(chan struct{}, clients)
				cc, err := consumer.Consume(func(m jetstream.Msg) {
					sem <- struct{}{}
					go func() {
						if err := m.DoubleAck(context.Background()); err != nil {
							b.Error(err)
						}
						<-sem
						acked.Done()
					}()
				})
				if err != nil {
					b.Error(err)
					return
				}
				acked.Wait()
				cc.Stop()
			})
			share(b.N, func(int) {
				if _, err := js.Publish(context.Background(), "raw", payload); err != nil {
					b.Error(err)
				}
			})
			work.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

// The queue: clients submit, and others lease and complete.
func BenchmarkQueue(b *testing.B) {
	for _, members := range []int{1, 3} {
		for _, atOnce := range []int{1, 10} {
			b.Run(fmt.Sprintf("members=%d/lease=%d", members, atOnce), func(b *testing.B) { benchmarkQueue(b, members, atOnce) })
		}
	}
}

func benchmarkQueue(b *testing.B, members, atOnce int) {
	s, _ := open(b, enginetest.NATS(b, members), "q")
	changes := s.Changes(b.Context())
	b.ResetTimer()
	var done atomic.Int64
	var work sync.WaitGroup
	due := make(chan struct{}, clients)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	for range clients {
		work.Go(func() {
			for ctx.Err() == nil {
				if got := workOnce(ctx, b, s, atOnce); got > 0 {
					if done.Add(int64(got)) == int64(b.N) {
						cancel()
					}
					continue
				}
				select {
				case <-due:
				case <-ctx.Done():
				}
			}
		})
	}
	work.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case c := <-changes:
				if c.Due {
					poke(due)
				}
			}
		}
	})
	share(b.N, func(i int) {
		n := newJob(fmt.Sprintf("01930000-0000-7000-8000-%012d", i), func(n *plane.NewJob) { n.Payload.Data = payload })
		if _, err := s.Submit(context.Background(), time.Now(), []plane.NewJob{n}); err != nil {
			b.Error(err)
		}
	})
	work.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}

func workOnce(ctx context.Context, b *testing.B, s *Store, atOnce int) int {
	leased, err := leaseOf(context.WithoutCancel(ctx), s, time.Now(), atOnce)
	if err != nil {
		b.Error(err)
	}
	for _, l := range leased {
		if err := complete(context.WithoutCancel(ctx), s, time.Now(), plane.Claim{ID: l.Job.ID, Token: l.Token}, plane.Body{ContentType: "application/json", Data: []byte("1")}); err != nil {
			b.Error(err)
		}
	}
	return len(leased)
}

func BenchmarkRequest(b *testing.B) {
	cluster := enginetest.NATS(b, 1)
	nc, err := nats.Connect(cluster.URI())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	sub, err := nc.Subscribe("echo", func(m *nats.Msg) { _ = m.Respond(m.Data) })
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for b.Loop() {
		if _, err := nc.Request("echo", payload, time.Second); err != nil {
			b.Fatal(err)
		}
	}
}

// From the call of Submit to a worker that has the job, one at a time.
func BenchmarkSubmitToStart(b *testing.B) {
	s, _ := open(b, enginetest.NATS(b, 1), "q")
	changes := s.Changes(b.Context())
	i := 0
	for b.Loop() {
		i++
		n := newJob(fmt.Sprintf("01930000-0000-7000-8000-%012d", i))
		go func() {
			if _, err := s.Submit(b.Context(), time.Now(), []plane.NewJob{n}); err != nil {
				b.Error(err)
			}
		}()
		var leased []plane.Leased
		for len(leased) == 0 {
			if c := <-changes; c.Due {
				leased = lease(b, s, 1)
			}
		}
		b.StopTimer()
		if err := complete(b.Context(), s, time.Now(), plane.Claim{ID: leased[0].Job.ID, Token: leased[0].Token}, plane.Body{}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// One append to a stream at a time: a job's way to a worker is two of them.
func BenchmarkRawPublish(b *testing.B) {
	js, _ := rawStream(b, enginetest.NATS(b, 1))
	for b.Loop() {
		if _, err := js.Publish(b.Context(), "raw", payload); err != nil {
			b.Fatal(err)
		}
	}
}
