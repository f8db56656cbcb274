package postgres

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// columns of a job, as row takes them.
const columns = `id, seq, status, type, priority, ordering_key, metadata, accepted_at, run_at, started_at, finished_at,
	attempt, max_attempts, timeout_ns, cancel, percent, message, progress_at, error, revision, token, worker, expires_at,
	deadline_at, traceparent`

// row is a job as the table has it.
type row struct {
	ID          pgtype.UUID       `json:"id"`
	Seq         int64             `json:"seq"`
	Status      int16             `json:"status"`
	Type        string            `json:"type"`
	Priority    string            `json:"priority"`
	OrderingKey string            `json:"ordering_key"`
	Metadata    map[string]string `json:"metadata"`
	AcceptedAt  time.Time         `json:"accepted_at"`
	RunAt       time.Time         `json:"run_at"`
	StartedAt   *time.Time        `json:"started_at"`
	FinishedAt  *time.Time        `json:"finished_at"`
	Attempt     int32             `json:"attempt"`
	MaxAttempts int32             `json:"max_attempts"`
	TimeoutNS   int64             `json:"timeout_ns"`
	Cancel      bool              `json:"cancel"`
	Percent     float64           `json:"percent"`
	Message     string            `json:"message"`
	ProgressAt  *time.Time        `json:"progress_at"`
	Error       string            `json:"error"`
	Revision    int64             `json:"revision"`
	Token       int64             `json:"token"`
	Worker      string            `json:"worker"`
	ExpiresAt   *time.Time        `json:"expires_at"`
	DeadlineAt  *time.Time        `json:"deadline_at"`
	TraceParent string            `json:"traceparent"`
}

// fields to scan columns into.
func (r *row) fields(more ...any) []any {
	return append([]any{&r.ID, &r.Seq, &r.Status, &r.Type, &r.Priority, &r.OrderingKey, &r.Metadata, &r.AcceptedAt, &r.RunAt,
		&r.StartedAt, &r.FinishedAt, &r.Attempt, &r.MaxAttempts, &r.TimeoutNS, &r.Cancel, &r.Percent, &r.Message, &r.ProgressAt,
		&r.Error, &r.Revision, &r.Token, &r.Worker, &r.ExpiresAt, &r.DeadlineAt, &r.TraceParent}, more...)
}

func scanRow(from pgx.CollectableRow) (row, error) {
	var r row
	err := from.Scan(r.fields()...)
	return r, err
}

// job as the contract shows it, without attempts and result.
func (r *row) job() pub.Job {
	j := pub.Job{
		ID: r.ID.String(), Type: r.Type, Status: statuses[r.Status], Priority: r.Priority, OrderingKey: r.OrderingKey,
		Metadata: r.Metadata, AcceptedAt: r.AcceptedAt.UTC(), StartedAt: utc(r.StartedAt), FinishedAt: utc(r.FinishedAt),
		Attempt: int(r.Attempt), MaxAttempts: int(r.MaxAttempts), Timeout: time.Duration(r.TimeoutNS).String(),
		CancelRequested: r.Cancel, Error: r.Error, Revision: r.Revision,
	}
	if r.Status < running && !r.RunAt.Equal(r.AcceptedAt) {
		j.RunAt = utc(&r.RunAt)
	}
	if r.ProgressAt != nil {
		j.Progress = &pub.Progress{Percent: r.Percent, Message: r.Message, At: r.ProgressAt.UTC()}
	}
	return j
}

// last is the attempt that the row itself tells of: the one under way, or that succeeded.
func (r *row) last() (pub.Attempt, bool) {
	if r.StartedAt == nil || r.Status != running && r.Status != succeeded {
		return pub.Attempt{}, false
	}
	a := pub.Attempt{Number: int(r.Attempt), Worker: r.Worker, StartedAt: r.StartedAt.UTC()}
	if r.Status == succeeded {
		a.EndedAt, a.Outcome = utc(r.FinishedAt), pub.OutcomeSucceeded
	}
	return a, true
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// instant as the engine keeps it, in microseconds.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// mediaJSON is the content type whose bytes are shown as JSON.
const mediaJSON = "application/json"

func resultOf(b jobs.Body) *pub.Result {
	r := &pub.Result{ContentType: b.ContentType, Bytes: int64(len(b.Data))}
	if b.ContentType == mediaJSON {
		r.Value = json.RawMessage(b.Data)
	} else {
		r.Base64 = b.Data
	}
	return r
}

// parseID makes no such job of an id that none can have.
func parseID(id string) (pgtype.UUID, error) {
	var u pgtype.UUID
	if err := u.Scan(id); err != nil {
		return u, fmt.Errorf("%w: %q is no UUID", jobs.ErrNotFound, id)
	}
	return u, nil
}
