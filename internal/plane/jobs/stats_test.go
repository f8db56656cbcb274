package jobs

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// TestCountsDoNotPileUp: while the engine hangs, everybody who asks for counts is answered within the time of one call.
func TestCountsDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queueOn(t, &scripted{stats: func(ctx context.Context) (jobs.Stats, error) {
			<-ctx.Done()
			return jobs.Stats{}, ctx.Err()
		}}, 1)
		began := time.Now()
		answers := make(chan error)
		for range 8 {
			go func() {
				_, err := q.count(t.Context())
				answers <- err
			}()
		}
		for range 8 {
			if err := <-answers; err == nil {
				t.Error("counted without an engine")
			}
		}
		if took := time.Since(began); took > bound {
			t.Errorf("the last one was answered after %s, want %s at most", took, bound)
		}
	})
}
