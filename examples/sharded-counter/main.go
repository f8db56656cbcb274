// Command sharded-counter counts, by key, in memory and on a disk. It is a shard of a ShardSet: each request says which
// partition its key is of, and a partition can be taken out of one process and put into another (hook.go). It imports
// nothing of Trellis: all that it has to know of it is HTTP.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// Bounds of a connection, and of what is under way when the process is to end.
const (
	headerTimeout = 10 * time.Second
	grace         = 20 * time.Second
)

func main() {
	if err := run(); err != nil {
		slog.Error("the counter can not run", "error", err)
		os.Exit(1)
	}
}

func run() error {
	keep, err := strconv.Atoi(env("KEEP_OPERATIONS", "1000"))
	if err != nil || keep < 1 {
		return errors.New("KEEP_OPERATIONS is how many operations of each counter are remembered: set it to 1 or more")
	}
	faults, err := parseFaults(os.Getenv("FAULTS"))
	if err != nil {
		return err
	}
	store, err := openStore(env("DATA", "/data"), keep)
	if err != nil {
		return fmt.Errorf("read what was counted: %w", err)
	}
	defer store.close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// The member beside this container is the only one that asks, so nobody else has to reach it.
	listener, err := net.Listen("tcp", env("LISTEN", "127.0.0.1:9000"))
	if err != nil {
		return err
	}
	slog.Info("counting", "address", listener.Addr().String(), "partitions", len(store.partitions))
	return serve(ctx, listener, &service{store: store, member: env("TRELLIS_SHARD", "alone"), faults: faults, exit: os.Exit})
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// serve until ctx ends, and then until what is under way is answered.
func serve(ctx context.Context, listener net.Listener, s *service) error {
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: headerTimeout}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	s.leaving.Store(true)
	end, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := server.Shutdown(end); err != nil {
		return errors.Join(fmt.Errorf("requests were under way after %s: %w", grace, err), server.Close())
	}
	return nil
}
