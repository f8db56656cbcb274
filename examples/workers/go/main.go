// Command go is a worker that leases its jobs with pkg/jobs and makes a report of each.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

func main() {
	if err := run(); err != nil {
		slog.Error("the worker can not run", "error", err)
		os.Exit(1)
	}
}

func run() error {
	client, err := jobs.NewClient(jobs.Options{URL: os.Getenv("TRELLIS_URL"), Token: jobs.TokenFile(os.Getenv("TRELLIS_TOKEN_FILE"))})
	if err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	worker := &jobs.Worker{Client: client, Name: name, Concurrency: 4, Handler: report, Grace: 20 * time.Second}
	return worker.Run(ctx)
}

type order struct {
	Title string    `json:"title"`
	Rows  []float64 `json:"rows"`
}

// report may run more than once for a job: it changes nothing but its result.
func report(ctx context.Context, task *jobs.Task) (jobs.Output, error) {
	var o order
	if err := task.Decode(&o); err != nil {
		return jobs.Output{}, err
	}
	sum := 0.0
	for i, row := range o.Rows {
		if err := context.Cause(ctx); err != nil {
			return jobs.Output{}, err
		}
		sum += row
		task.Progress(100*float64(i+1)/float64(len(o.Rows)), fmt.Sprintf("row %d of %d", i+1, len(o.Rows)))
	}
	return jobs.JSON(map[string]any{"title": o.Title, "rows": len(o.Rows), "sum": sum})
}
