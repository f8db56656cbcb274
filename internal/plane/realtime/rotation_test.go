package realtime_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Steady implements conformance.Rotating.
func (s *redisServer) Steady(*testing.T) {}

// Rotate implements conformance.Rotating.
func (s *redisServer) Rotate(t *testing.T) (takeUp func()) {
	t.Helper()
	next := rotateFiles(t, s)
	return func() { s.takeUp(t, next) }
}

// rotateFiles swaps what is mounted into the planes, and returns the new password.
func rotateFiles(t *testing.T, s *redisServer) string {
	t.Helper()
	next := fmt.Sprintf("%s-%d", password, servers.Add(1))
	uri := filepath.Join(s.dir, "uri")
	text, err := os.ReadFile(uri)
	if err != nil || !strings.Contains(string(text), s.password) {
		t.Fatalf("read the planes' URI: %v", err)
	}
	swap(t, filepath.Join(s.dir, planeconfig.KeyPreviousPassword), s.password)
	swap(t, uri, strings.ReplaceAll(string(text), s.password, next))
	return next
}

func swap(t *testing.T, path, content string) {
	t.Helper()
	contracttest.Write(t, path+".new", content)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func (s *redisServer) takeUp(t *testing.T, next string) {
	t.Helper()
	mustCommand(t, s, fmt.Sprintf("ACL SETUSER default resetpass >%s >%s", next, s.password))
	s.before = append([]string{s.password}, s.before...)
	s.password = next
}

// Cut implements conformance.Rotating.
func (s *redisServer) Cut(t *testing.T) {
	t.Helper()
	for _, kind := range []string{"normal", "pubsub"} {
		mustCommand(t, s, "CLIENT KILL TYPE "+kind+" SKIPME yes")
	}
}

// Refuses implements conformance.Rotating.
func (s *redisServer) Refuses(t *testing.T, n int) bool {
	t.Helper()
	stranger := &redisServer{port: s.port, password: append([]string{s.password}, s.before...)[n]}
	out, err := stranger.command("PING")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(out, "-WRONGPASS")
}

// all are the servers and the Sentinels.
func (g *trio) all() []*redisServer {
	return append(append([]*redisServer{}, g.servers...), g.sentinels...)
}

// Steady implements conformance.Rotating.
func (g *trio) Steady(t *testing.T) {
	t.Helper()
	for _, s := range g.sentinels {
		mustCommand(t, s, "SENTINEL SET "+masterName+" down-after-milliseconds 600000")
	}
	contracttest.Eventually(t, "the members to be together", g.synced)
}

// Rotate implements conformance.Rotating.
func (g *trio) Rotate(t *testing.T) (takeUp func()) {
	t.Helper()
	next := rotateFiles(t, g.servers[0])
	return func() {
		for _, s := range g.all() {
			s.takeUp(t, next)
		}
		for _, s := range g.servers {
			mustCommand(t, s, "CONFIG SET masterauth "+next)
		}
		for _, s := range g.sentinels {
			mustCommand(t, s, "SENTINEL SET "+masterName+" auth-pass "+next)
			mustCommand(t, s, "SENTINEL CONFIG SET sentinel-pass "+next)
		}
	}
}

// Cut implements conformance.Rotating.
func (g *trio) Cut(t *testing.T) {
	t.Helper()
	for _, s := range g.all() {
		s.Cut(t)
	}
}

// Refuses implements conformance.Rotating.
func (g *trio) Refuses(t *testing.T, n int) bool {
	t.Helper()
	refusing := 0
	for _, s := range g.all() {
		if s.Refuses(t, n) {
			refusing++
		}
	}
	if refusing > 0 && refusing < len(g.all()) {
		t.Errorf("%d of %d refuse the password of %d rotations ago", refusing, len(g.all()), n)
	}
	return refusing > 0
}
