package realtime

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/realtime/load"
)

const (
	idleConnections = 10000
	idleRooms       = 1000
	// settle is for what connecting left behind to end.
	settle = 2 * time.Second
	// centrifugo is what Centrifugo's documentation names for a connection.
	centrifugo = 27000
)

// Memory is the part about memory a connection.
func Memory(p Programs) harness.Part {
	return harness.Part{
		Name:  "realtime-memory",
		Title: "Realtime: bytes a connection",
		About: "10,000 idle connections, each following one of 1,000 rooms. Peer: the library's own handlers with the same history, " +
			"queue and engine (Memory) and pooled write buffers, in a process of its own. *rss* is how much the server's resident memory grew, " +
			"after a collection on both sides; *rss as it stands* the same before it. *kernel* is what the kernel's caches of sockets and files " +
			"grew by, for the server's end and the client's together, which are alike. Centrifugo's documentation names about 27 KB a connection.",
		Run: func(ctx context.Context, e *harness.Env) ([]harness.Row, error) { return memory(ctx, e, p) },
	}
}

func memory(ctx context.Context, e *harness.Env, p Programs) ([]harness.Row, error) {
	var rows []harness.Row
	for _, c := range []struct {
		name       string
		ours, peer load.Protocol
	}{
		{"WebSocket, /v1/ws", load.ContractWebSocket, load.Centrifuge},
		{"WebSocket, /connection/websocket", load.Centrifuge, load.Centrifuge},
		{"SSE, /v1/stream", load.ContractSSE, load.BareSSE},
	} {
		if !e.Chosen(c.name) {
			continue
		}
		side := func(s side, proto load.Protocol) harness.Side {
			return func(ctx context.Context) (harness.Figures, error) { return idle(ctx, e, p, s, proto) }
		}
		got, err := e.Interleave(ctx, c.name, side(ours, c.ours), side(peer, c.peer))
		if err != nil {
			return nil, err
		}
		row := got.Row(c.name, "rss", "bytes", harness.RatioAtMost(1))
		rows = append(rows, row, harness.Row{Case: c.name, Measure: "rss, against Centrifugo's 27 KB", Unit: "bytes", Ours: row.Ours, Goal: harness.AtMost(centrifugo)},
			got.Row(c.name, "rss as it stands", "bytes", harness.NoGoal),
			got.Row(c.name, "heap", "bytes", harness.NoGoal), got.Row(c.name, "stacks", "bytes", harness.NoGoal),
			got.Row(c.name, "kernel", "bytes", harness.NoGoal))
	}
	return rows, nil
}

// idle tells what connections cost that do nothing.
func idle(ctx context.Context, e *harness.Env, p Programs, s side, proto load.Protocol) (harness.Figures, error) {
	connections, rooms := idleConnections, idleRooms
	if e.Short {
		connections, rooms = 500, 50
	}
	r, stop, err := p.start(ctx, e, s, engine{})
	defer stop()
	if err != nil {
		return nil, err
	}
	before, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.follow(ctx, load.FollowParams{Protocol: proto, Followers: connections, Rooms: rooms}); err != nil {
		return nil, err
	}
	time.Sleep(settle)
	stands, err := process.RSS(r.server.PID())
	if err != nil {
		return nil, err
	}
	after, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	if e.Profile {
		at := process.ProfileParams{File: filepath.Join(e.Folder, fmt.Sprintf("memory-%s-%s.heap.pprof", s, proto))}
		if err := r.server.Call(ctx, "heap-profile", at, nil); err != nil {
			return nil, err
		}
	}
	if err := r.clients.Call(ctx, load.MethodBroken, nil, nil); err != nil {
		return nil, err
	}
	each := func(grown int64) float64 { return float64(grown) / float64(connections) }
	return harness.Figures{
		"rss": each(after.rss - before.rss), "rss as it stands": each(stands - before.rss),
		"heap": each(after.inUse.Heap - before.inUse.Heap), "stacks": each(after.inUse.Stacks - before.inUse.Stacks),
		"kernel": each(after.kernel - before.kernel),
	}, nil
}

// usage of memory at a moment, in bytes.
type usage struct {
	rss, kernel int64
	inUse       process.Memory
}

func (r *rig) look(ctx context.Context) (usage, error) {
	var u usage
	if err := r.server.Call(ctx, "memory", nil, &u.inUse); err != nil {
		return u, err
	}
	var err error
	if u.rss, err = process.RSS(r.server.PID()); err != nil {
		return u, err
	}
	u.kernel, err = kernelMemory()
	return u, err
}

// socketCaches are the kernel's caches of what a connection consists of.
var socketCaches = []string{"TCP", "sock_inode_cache", "filp", "ep_item", "eventpoll_epi", "eventpoll_pwq", "skbuff_head_cache", "skbuff_small_head", "tw_sock_TCP"}

// kernelMemory is what sockets take in the kernel, of the whole machine: their
// objects, and their buffers.
func kernelMemory() (int64, error) {
	pages, err := harness.ProcValue("/proc/net/sockstat", "mem")
	if err != nil {
		return 0, err
	}
	total := pages * int64(os.Getpagesize())
	data, err := os.ReadFile("/proc/slabinfo")
	if err != nil {
		return 0, fmt.Errorf("read the kernel's caches (this needs root): %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !slices.Contains(socketCaches, fields[0]) {
			continue
		}
		objects, errObjects := strconv.ParseInt(fields[1], 10, 64)
		size, errSize := strconv.ParseInt(fields[3], 10, 64)
		if errObjects != nil || errSize != nil {
			return 0, fmt.Errorf("the kernel's caches are not as expected: %q", lines.Text())
		}
		total += objects * size
	}
	return total, lines.Err()
}
