// Package setting starts the engines of tests where no test runs.
package setting

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// setting stands in for a test where engines are started: what a test would clean up in the end is cleaned up by
// With, and what fails is an error.
type setting struct {
	testing.TB
	root     string
	folders  int
	cleanups []func()
}

// failure is what a setting panics with.
type failure struct{ text string }

// With starts engines, runs do and ends them.
func With(start func(testing.TB), do func() error) (err error) {
	s := &setting{}
	defer func() {
		for i := len(s.cleanups) - 1; i >= 0; i-- {
			s.cleanups[i]()
		}
		if s.root != "" {
			_ = os.RemoveAll(s.root)
		}
		if what := recover(); what != nil {
			failed, ok := what.(failure)
			if !ok {
				panic(what)
			}
			err = fmt.Errorf("start the engine: %s", failed.text)
		}
	}()
	start(s)
	return do()
}

// Helper implements testing.TB.
func (s *setting) Helper() {}

// Cleanup implements testing.TB.
func (s *setting) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// Fatal implements testing.TB.
func (s *setting) Fatal(args ...any) { panic(failure{fmt.Sprint(args...)}) }

// Fatalf implements testing.TB.
func (s *setting) Fatalf(format string, args ...any) { panic(failure{fmt.Sprintf(format, args...)}) }

// TempDir implements testing.TB.
func (s *setting) TempDir() string {
	var err error
	if s.root == "" {
		s.root, err = os.MkdirTemp("", "trellis-bench-")
	}
	s.folders++
	dir := filepath.Join(s.root, fmt.Sprint(s.folders))
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		s.Fatal(err)
	}
	return dir
}

// Durable has PostgreSQL write as a provisioned Engine's does: on disk before it is acknowledged.
var Durable = []string{
	"fsync=on", "full_page_writes=on", "synchronous_commit=on", "shared_buffers=128MB", "max_wal_size=1GB", "wal_level=replica",
}
