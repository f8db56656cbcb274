package postgres

import (
	"fmt"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// What is in the column status. The order matters: those before running wait, those after it are at their end.
const (
	scheduled int16 = iota
	queued
	retrying
	running
	succeeded
	dead
	cancelled
)

var statuses = [...]jobs.Status{
	scheduled: jobs.StatusScheduled, queued: jobs.StatusQueued, retrying: jobs.StatusRetrying, running: jobs.StatusRunning,
	succeeded: jobs.StatusSucceeded, dead: jobs.StatusDead, cancelled: jobs.StatusCancelled,
}

func code(s jobs.Status) (int16, error) {
	for i, status := range statuses {
		if status == s {
			return int16(i), nil
		}
	}
	return 0, fmt.Errorf("unknown status %q", s)
}
