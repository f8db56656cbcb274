package jobs

import (
	"testing"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// TestAPausedQueueWakesNobody shows that no worker is started for jobs that none is given.
func TestAPausedQueueWakesNobody(t *testing.T) {
	t.Parallel()
	s := jobs.Stats{Backlog: 7, Startable: 7, Depth: map[jobs.Status]int64{jobs.StatusQueued: 5, jobs.StatusRunning: 2}}
	for paused, want := range map[bool]int64{false: 7, true: 2} {
		s.Paused = paused
		if got := toDo(s); got.Backlog != want || got.Startable != want {
			t.Errorf("paused %t: workers are scaled by %d jobs, and %d can be started, want %d", paused, got.Backlog, got.Startable, want)
		}
	}
}
