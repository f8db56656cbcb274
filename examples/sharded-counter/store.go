package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// Names of files in the folder: a partition's is its number and extension.
const (
	extension = ".jsonl"
	temporary = "unfinished-*"
)

// store is all partitions of which this process has anything.
type store struct {
	dir  string
	keep int

	mu         sync.Mutex
	partitions map[int]*partition
}

// openStore reads what is in a folder, and makes the folder where there is none.
func openStore(dir string, keep int) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &store{dir: dir, keep: keep, partitions: map[int]*partition{}}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if unfinished, _ := filepath.Match(temporary, f.Name()); unfinished {
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				return nil, err
			}
		}
		number, ours := strings.CutSuffix(f.Name(), extension)
		n, err := strconv.Atoi(number)
		if !ours || err != nil {
			continue
		}
		if s.partitions[n], err = readPartition(s.path(n), keep); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *store) path(n int) string { return filepath.Join(s.dir, strconv.Itoa(n)+extension) }

// partition of a number; one that is not known is empty.
func (s *store) partition(n int) *partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partitions[n]
	if p == nil {
		p = &partition{path: s.path(n), keep: s.keep, counters: map[string]*counter{}}
		s.partitions[n] = p
	}
	return p
}

// sizes are the numbers of counters by partition.
func (s *store) sizes() map[int]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[int]int{}
	for n, p := range s.partitions {
		p.mu.Lock()
		if len(p.counters) > 0 {
			out[n] = len(p.counters)
		}
		p.mu.Unlock()
	}
	return out
}

func (s *store) close() {
	for _, p := range s.partitions {
		if p != nil && p.file != nil {
			_ = p.file.Close()
		}
	}
}

// first is true once, whatever becomes of the process.
func (s *store) first(name string) bool {
	file, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_EXCL, 0o600)
	return err == nil && file.Close() == nil
}
