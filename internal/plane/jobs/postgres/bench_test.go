package postgres_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/postgres"
	"github.com/trellis-dev/trellis/internal/plane/jobs/storetest"
)

func store(b *testing.B) *postgres.Store {
	uri, _ := enginetest.Postgres(b)
	s := run(b, uri, "q", storetest.Settings())
	if _, err := s.Stats(b.Context(), storetest.Epoch); err != nil {
		b.Fatal(err)
	}
	return s
}

// share has n calls be made by some goroutines.
func share(b *testing.B, goroutines, n int, call func() error) {
	var next atomic.Int64
	var work sync.WaitGroup
	for range goroutines {
		work.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
}

func fillUp(b *testing.B, s *postgres.Store, n int) {
	for n > 0 {
		batch := make([]jobs.NewJob, min(n, 1000))
		for i := range batch {
			batch[i] = storetest.NewJob()
		}
		n -= len(batch)
		if _, err := s.Submit(b.Context(), storetest.Epoch, batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSubmit(b *testing.B) {
	for _, size := range []int{1, 100} {
		for _, goroutines := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("batch=%d/goroutines=%d", size, goroutines), func(b *testing.B) {
				s := store(b)
				b.ResetTimer()
				share(b, goroutines, b.N, func() error {
					batch := make([]jobs.NewJob, size)
					for i := range batch {
						batch[i] = storetest.NewJob()
					}
					_, err := s.Submit(b.Context(), storetest.Epoch, batch)
					return err
				})
				b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "jobs/s")
			})
		}
	}
}

func BenchmarkWork(b *testing.B) {
	for _, backlog := range []int{0, 100_000} {
		for _, size := range []int{1, 10, 50} {
			for _, goroutines := range []int{1, 4, 16} {
				b.Run(fmt.Sprintf("backlog=%d/lease=%d/goroutines=%d", backlog, size, goroutines), func(b *testing.B) {
					s := store(b)
					fillUp(b, s, backlog+b.N*size)
					b.ResetTimer()
					var done atomic.Int64
					share(b, goroutines, b.N, func() error {
						leased, _, err := s.Lease(b.Context(), storetest.Epoch, []jobs.LeaseQuery{{Worker: "w", Max: size}})
						if err != nil {
							return err
						}
						var batch []jobs.Completion
						for _, l := range leased[0] {
							batch = append(batch, jobs.Completion{Claim: jobs.Claim{ID: l.Job.ID, Token: l.Token}})
						}
						done.Add(int64(len(batch)))
						_, err = s.Complete(b.Context(), storetest.Epoch, batch)
						return err
					})
					b.ReportMetric(float64(done.Load())/b.Elapsed().Seconds(), "jobs/s")
				})
			}
		}
	}
}

func BenchmarkStats(b *testing.B) {
	s := store(b)
	fillUp(b, s, 100_000)
	for b.Loop() {
		if _, err := s.Stats(b.Context(), storetest.Epoch.Add(time.Second)); err != nil {
			b.Fatal(err)
		}
	}
}
