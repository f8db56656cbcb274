package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// order is what the report's job asks for.
const order = `{"title":"October","rows":4}`

// told is an event of a job, as a room has it.
type told struct {
	Type string   `json:"type"`
	Data jobs.Job `json:"data"`
}

// report submits a job to a queue and follows it in a room of a gateway until both say that it is done.
func report(ctx context.Context, room client, queue *jobs.Client) error {
	since := ""
	if err := again(ctx, func() (err error) { since, err = room.position(ctx); return err }); err != nil {
		return fmt.Errorf("ask for the room's position: %w", err)
	}
	began := time.Now()
	job, err := queue.Submit(ctx, jobs.Submission{
		Type: "report", Payload: json.RawMessage(order), Metadata: map[string]string{"user": "ada"}, IdempotencyKey: rand.Text(),
	})
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	fmt.Printf("  accepted %s as %s after %d ms; nobody works yet\n\n  in the room %s:\n", order, job.ID, time.Since(began).Milliseconds(), room.room)
	if err := watch(ctx, room, since, job.ID, began); err != nil {
		return err
	}
	done, err := queue.Wait(ctx, job.ID)
	if err != nil {
		return fmt.Errorf("wait for the job: %w", err)
	}
	return timeline(done)
}

var errDone = errors.New("the job is at its end")

// watch shows what the room says of a job until that is at its end.
func watch(ctx context.Context, room client, since, id string, began time.Time) error {
	steps := 0
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := again(ctx, func() error {
		err := socket(ctx, room, since, func() {}, func(m message) {
			since = m.Position
			var e told
			if json.Unmarshal(m.Raw, &e) != nil || e.Data.ID != id {
				return
			}
			fmt.Printf("    %6.1f s  %-28s %s\n", time.Since(began).Seconds(), e.Type, progressOf(e))
			switch e.Type {
			case jobs.EventProgress:
				steps++
			case jobs.EventSucceeded, jobs.EventDead:
				cancel(errDone)
			}
		})
		return errors.Join(errors.New("the connection ended"), err)
	})
	switch {
	case !errors.Is(context.Cause(ctx), errDone):
		return fmt.Errorf("the room did not tell that the job is done: %w", err)
	case steps == 0:
		return errors.New("the room told of no progress")
	}
	return nil
}

func progressOf(e told) string {
	if e.Type != jobs.EventProgress || e.Data.Progress == nil {
		return ""
	}
	return fmt.Sprintf("%3.0f %%  %s", e.Data.Progress.Percent, e.Data.Progress.Message)
}

// timeline shows what the queue kept of the job.
func timeline(job jobs.Job) error {
	fmt.Printf("\n  the job's timeline, as GET /v1/jobs/%s has it:\n", job.ID)
	line := func(at time.Time, words string) {
		fmt.Printf("    %s  %6.1f s  %s\n", at.UTC().Format(time.TimeOnly), at.Sub(job.AcceptedAt).Seconds(), words)
	}
	line(job.AcceptedAt, "accepted")
	for _, a := range job.Attempts {
		line(a.StartedAt, fmt.Sprintf("attempt %d begins, by %s", a.Number, a.Worker))
		if a.EndedAt != nil {
			line(*a.EndedAt, fmt.Sprintf("attempt %d: %s %s", a.Number, a.Outcome, a.Error))
		}
	}
	if job.Status != jobs.StatusSucceeded || job.Result == nil {
		return fmt.Errorf("the job is %s: %s", job.Status, job.Error)
	}
	fmt.Printf("    result: %s\n", job.Result.Value)
	return nil
}
