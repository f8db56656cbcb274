package postgres

import "fmt"

// statement is a text with its parameters, put together once for a call. Parts of it refer to parameters by what
// param returns, so that a part can be left out.
type statement struct {
	text string
	args []any
}

// param adds a parameter and returns how the text calls it.
func (s *statement) param(v any) string {
	s.args = append(s.args, v)
	return fmt.Sprintf("$%d", len(s.args))
}

func (s *statement) add(format string, args ...any) { s.text += fmt.Sprintf(format, args...) }

// counted is the part that keeps the numbers of jobs. moved has priority, and was and now: statuses, or NULL for a job that
// was not there, or is no longer.
const counted = `
tallied AS (INSERT INTO tally SELECT priority,
	count(*) FILTER (WHERE now = 0) - count(*) FILTER (WHERE was = 0),
	count(*) FILTER (WHERE now = 1) - count(*) FILTER (WHERE was = 1),
	count(*) FILTER (WHERE now = 2) - count(*) FILTER (WHERE was = 2),
	count(*) FILTER (WHERE now = 3) - count(*) FILTER (WHERE was = 3),
	count(*) FILTER (WHERE now = 4) - count(*) FILTER (WHERE was = 4),
	count(*) FILTER (WHERE now = 5) - count(*) FILTER (WHERE was = 5),
	count(*) FILTER (WHERE now = 6) - count(*) FILTER (WHERE was = 6),
	count(*) FILTER (WHERE was IS NULL), count(*) FILTER (WHERE now = 4), count(*) FILTER (WHERE was = 3 AND now IN (2, 5))
	FROM moved GROUP BY priority)`

// snapshot of a job for an event, with the names of columns, as row reads it again.
const snapshot = `jsonb_build_object('id', id, 'seq', seq, 'status', status, 'type', type, 'priority', priority,
	'ordering_key', ordering_key, 'metadata', metadata, 'accepted_at', accepted_at, 'run_at', run_at, 'started_at', started_at,
	'finished_at', finished_at, 'attempt', attempt, 'max_attempts', max_attempts, 'timeout_ns', timeout_ns, 'cancel', cancel,
	'percent', percent, 'message', message, 'progress_at', progress_at, 'error', error, 'revision', revision)`

// emit adds the part that puts events of the jobs in changed, which is in scope and has all columns, into the outbox:
// those that a sink wants. kinds is a query of (id, kind), and nothing is added where no sink wants anything.
func (s *statement) emit(to *settings, at string, kinds string) {
	if len(to.sinks) == 0 {
		return
	}
	s.add(`, sent AS (INSERT INTO outbox (sink, job, type, at, traceparent, snapshot)
		SELECT w.sink, c.id, k.kind, %s, c.traceparent, c.snapshot
		FROM (SELECT id, seq, traceparent, %s AS snapshot FROM changed) c
		JOIN (%s) k(job, kind, place) ON k.job = c.id
		JOIN unnest(%s::text[], %s::text[]) w(sink, kind) ON w.kind = k.kind
		ORDER BY c.seq, k.place)`, at, snapshot, kinds, s.param(to.sinks), s.param(to.kinds))
}
