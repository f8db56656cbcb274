package load

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// queue is a way to have jobs accepted and worked off.
type queue interface {
	// submit returns when the job is durable; with several, when all are.
	submit(ctx context.Context, jobs ...task) error
	// work runs at most atOnce jobs at once until ctx ends. started is called with each that a worker has, and
	// completed when it is known to be recorded that the job is done.
	work(ctx context.Context, atOnce int, started func(task), completed func()) error
	close()
}

// PayloadBytes of every job.
const PayloadBytes = 200

// task is the payload of a job: its number, and text that makes it PayloadBytes long.
type task struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
}

func newTask(number int) task {
	t := task{Number: number}
	t.Text = strings.Repeat("x", PayloadBytes-len(t.encode()))
	return t
}

func (t task) encode() []byte {
	data, err := json.Marshal(t)
	if err != nil {
		panic(fmt.Sprintf("a task is JSON: %v", err))
	}
	return data
}

// Kind names the tasks to River.
func (task) Kind() string { return "task" }

// Target says where jobs go.
type Target struct {
	// URL and Token of a JobQueue; or Postgres, a URI, for River; or NATS, a URI, for JetStream.
	URL, Token     string
	Postgres, NATS string
	// Name of the stream.
	Name string
	// Connections that a client of PostgreSQL may open.
	Connections int
}

func open(ctx context.Context, t Target) (queue, error) {
	switch {
	case t.URL != "":
		return openContract(t), nil
	case t.Postgres != "":
		return openRiver(ctx, t)
	case t.NATS != "":
		return openStream(ctx, t)
	}
	return nil, fmt.Errorf("a target needs an address")
}
