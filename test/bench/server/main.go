// Command server is one side of a benchmark: a plane as trellis-plane runs it, the
// router of a ShardSet or a sidecar without a cluster, or the bare library of realtime. All are in one binary, so that what the program
// itself takes is the same.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/trellis-dev/trellis/cmd/trellis-plane/app"
	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/realtime/bare"
	"github.com/trellis-dev/trellis/test/bench/router/served"
)

func main() {
	config := flag.String("config", "", "Run the plane with this configuration file.")
	pattern := flag.String("pattern", "realtime-gateway", "The plane's subcommand.")
	shards := flag.String("shards", "", "Run the router with that configuration before shards at these addresses, with commas.")
	member := flag.String("member", "", "Run the sidecar of the shard of this ID with that configuration.")
	kubeconfig := flag.String("kubeconfig", "", "Have the table in the API server that this file leads to.")
	moves := flag.Bool("moves", false, "Have the router move partitions.")
	address := flag.String("address", "", "Run the bare library at this address.")
	options := flag.String("options", "{}", "Options of the bare library, as JSON.")
	flag.Parse()
	go func() {
		// The end of the input is the end of who started this.
		_ = process.Serve(context.Background(), process.Introspection())
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	}()
	if *shards != "" || *member != "" {
		if err := serveShards(served.Options{Config: *config, Kubeconfig: *kubeconfig, Moves: *moves}, *shards, *member); err != nil {
			fmt.Fprintln(os.Stderr, "shard set:", err)
			os.Exit(1)
		}
		return
	}
	if *config != "" {
		os.Exit(app.Main([]string{*pattern, "--config", *config}, os.Stderr))
	}
	if err := serveBare(*address, *options); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func serveShards(o served.Options, shards, member string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if member != "" {
		return served.ServeMember(ctx, os.Stderr, o, member)
	}
	return served.Serve(ctx, os.Stderr, o, strings.Split(shards, ","))
}

func serveBare(address, options string) error {
	var o bare.Options
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		return fmt.Errorf("read the options: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := bare.New(o)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: address, Handler: s.Handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}
