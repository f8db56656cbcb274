package realtime_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/realtime/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

var epochField = regexp.MustCompile(`\be\r\n\$8\r\n(\w{8})\r\n`)

// TestPromotionRenewsEpochsOnce has a server become another's replica and be promoted, as behind a
// managed endpoint, under three planes with a room each of their own and one in common.
func TestPromotionRenewsEpochsOnce(t *testing.T) {
	engine := startRedis(t)
	uri := filepath.Join(engine.dir, "uri")
	contracttest.Write(t, uri, fmt.Sprintf("redis://:%s@127.0.0.1:%d", engine.password, engine.port))
	o := conformance.Options{Replicas: 3}
	target := newLocal(t, o, planeconfig.Engine{Type: "Redis", URIFile: uri, Prefix: "test"}).target(t, o, engine)
	rooms := []string{"a", "b", "c"}
	for i, room := range rooms {
		awaitPublished(t, target.Replicas[i].URL, room)
	}
	first := epochs(t, engine, rooms)

	other := startRedis(t)
	mustCommand(t, engine, "CONFIG SET masterauth "+other.password)
	// Its data has to be the same, or it would be gone: the other one copies it first.
	mustCommand(t, other, "CONFIG SET masterauth "+engine.password)
	mustCommand(t, other, fmt.Sprintf("REPLICAOF 127.0.0.1 %d", engine.port))
	follows := func(s *redisServer) func() bool {
		return func() bool {
			out, err := s.command("INFO replication")
			return err == nil && strings.Contains(out, "master_link_status:up")
		}
	}
	contracttest.Eventually(t, "the other server to follow", follows(other))
	mustCommand(t, other, "REPLICAOF NO ONE")
	mustCommand(t, engine, fmt.Sprintf("REPLICAOF 127.0.0.1 %d", other.port))
	contracttest.Eventually(t, "the server to follow", follows(engine))
	mustCommand(t, engine, "REPLICAOF NO ONE")
	for _, kind := range []string{"normal", "pubsub"} {
		mustCommand(t, engine, "CLIENT KILL TYPE "+kind+" SKIPME yes")
	}
	var second map[string]string
	contracttest.Eventually(t, "new epochs", func() bool { second = epochs(t, engine, rooms); return second["a"] != first["a"] })
	for i, room := range rooms {
		awaitPublished(t, target.Replicas[i].URL, room)
	}
	for room, epoch := range epochs(t, engine, rooms) {
		if epoch == first[room] {
			t.Errorf("room %s has its old epoch", room)
		}
		if epoch != second[room] && room == "a" {
			t.Errorf("room %s got a second new epoch", room)
		}
	}

	// A restart of a server that syncs each write loses nothing, and is no gap.
	before := epochs(t, engine, rooms)
	engine.Kill(t)
	engine.Start(t)
	for i, room := range rooms {
		awaitPublished(t, target.Replicas[i].URL, room)
	}
	for room, epoch := range epochs(t, engine, rooms) {
		if epoch != before[room] {
			t.Errorf("room %s got a new epoch by a restart", room)
		}
	}
}

func epochs(t *testing.T, engine *redisServer, rooms []string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, room := range rooms {
		answer, err := engine.command("HGETALL test.stream.meta." + room)
		if err != nil {
			t.Fatal(err)
		}
		if m := epochField.FindStringSubmatch(answer); m != nil {
			out[room] = m[1]
		}
	}
	return out
}
