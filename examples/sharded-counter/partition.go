package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// counter is a number, and the last operations that made it, the oldest first.
type counter struct {
	value int64
	done  []operation
}

// operation is an increment that was carried out. It is kept so that one that is asked for again, under the same
// idempotency key, is answered again and not carried out again.
type operation struct {
	// ID is the idempotency key; empty where there was none.
	ID string `json:"id,omitempty"`
	// Value of the counter from then on.
	Value int64 `json:"value"`
	// Epoch and Member say who carried it out.
	Epoch  uint64 `json:"epoch,omitempty"`
	Member string `json:"member,omitempty"`
}

// entry is a line of a partition's file, and of its export: a counter from then on, and the operations that are new.
type entry struct {
	Key   string      `json:"key"`
	Value int64       `json:"value"`
	Done  []operation `json:"done,omitempty"`
}

// compactAfter is how many lines a file may have in excess of its counters.
const compactAfter = 10000

// partition is the counters whose keys are of one partition. Its file begins with each of them and goes on with what
// was done since.
type partition struct {
	path string
	keep int

	mu       sync.Mutex
	counters map[string]*counter
	file     *os.File
	lines    int
	// broken is why the file may not have what is in memory.
	broken error
	// fenced is the epoch of the last move of the partition: what was sent before it came too late.
	fenced uint64
}

var errFenced = errors.New("the partition has moved since this was sent")

// readPartition from its file; one without a file is empty.
func readPartition(path string, keep int) (*partition, error) {
	p := &partition{path: path, keep: keep, counters: map[string]*counter{}}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	lines, whole := json.NewDecoder(file), int64(0)
	for {
		var e entry
		err := lines.Decode(&e)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break // A line that is not whole was never acknowledged.
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s is damaged after byte %d: %w", path, whole, err), file.Close())
		}
		p.apply(e)
		whole = lines.InputOffset()
	}
	err = file.Truncate(whole)
	if err == nil {
		_, err = file.Seek(whole, io.SeekStart)
	}
	if err == nil && whole > 0 {
		_, err = file.WriteString("\n")
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	p.file = file
	return p, nil
}

func (p *partition) apply(e entry) {
	c := p.counters[e.Key]
	if c == nil {
		c = &counter{}
		p.counters[e.Key] = c
	}
	c.value = e.Value
	c.done = append(c.done, e.Done...)
	c.done = c.done[max(0, len(c.done)-p.keep):]
	p.lines++
}

// increment a counter, unless the operation is known: then it is what was answered before, and again is true. What it
// returns without an error outlives the process and the machine.
func (p *partition) increment(key string, op operation) (done operation, again bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if op.Epoch < p.fenced {
		return operation{}, false, errFenced
	}
	c := p.counters[key]
	if c == nil {
		c = &counter{}
	}
	if op.ID != "" {
		if i := slices.IndexFunc(c.done, func(o operation) bool { return o.ID == op.ID }); i >= 0 {
			return c.done[i], true, nil
		}
	}
	op.Value = c.value + 1
	e := entry{Key: key, Value: op.Value, Done: []operation{op}}
	if err := p.append(e); err != nil {
		return operation{}, false, err
	}
	p.apply(e)
	if p.lines > len(p.counters)+compactAfter {
		p.compact()
	}
	return op, false, nil
}

// append a line to the file. After an error nobody knows what the disk has, so nothing more is said of the partition
// until another process has read it.
func (p *partition) append(e entry) error {
	if p.broken != nil {
		return p.broken
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if p.file == nil {
		if p.file, err = os.OpenFile(p.path, os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o600); err == nil {
			err = syncFolder(filepath.Dir(p.path))
		}
	}
	if err == nil {
		_, err = p.file.Write(append(line, '\n'))
	}
	if err == nil {
		err = p.file.Sync()
	}
	if err != nil {
		p.broken = fmt.Errorf("write to %s: %w", p.path, err)
	}
	return p.broken
}

// compact the file to one line a counter.
func (p *partition) compact() {
	file, err := writeEntries(p.path, p.entries())
	if err != nil {
		p.broken = err
		return
	}
	_ = p.file.Close()
	p.file, p.lines = file, len(p.counters)
}

// read a counter; one that was never incremented is 0.
func (p *partition) read(key string, epoch uint64) (counter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if epoch < p.fenced {
		return counter{}, errFenced
	}
	if c := p.counters[key]; c != nil && p.broken == nil {
		return counter{value: c.value, done: slices.Clone(c.done)}, nil
	}
	return counter{}, p.broken
}

// snapshot of all counters, which nothing changes any more that was sent before the epoch.
func (p *partition) snapshot(epoch uint64) ([]entry, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fenced = max(p.fenced, epoch)
	return p.entries(), p.broken
}

func (p *partition) entries() []entry {
	out := make([]entry, 0, len(p.counters))
	for key, c := range p.counters {
		out = append(out, entry{Key: key, Value: c.value, Done: slices.Clone(c.done)})
	}
	return out
}

// replace all that is there by what another one had.
func (p *partition) replace(entries []entry, epoch uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fenced = max(p.fenced, epoch)
	file, err := writeEntries(p.path, entries)
	if err != nil {
		return err
	}
	if p.file != nil {
		_ = p.file.Close()
	}
	p.file, p.counters, p.lines, p.broken = file, map[string]*counter{}, 0, nil
	for _, e := range entries {
		p.apply(e)
	}
	return nil
}

// drop all that is there. Dropping nothing is no mistake: it may be asked for again.
func (p *partition) drop(epoch uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fenced = max(p.fenced, epoch)
	if err := os.Remove(p.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := syncFolder(filepath.Dir(p.path)); err != nil {
		return err
	}
	if p.file != nil {
		_ = p.file.Close()
	}
	p.file, p.counters, p.lines, p.broken = nil, map[string]*counter{}, 0, nil
	return nil
}

// writeEntries has a file with them in the place of the one that is there, all or nothing. It is open at its end.
func writeEntries(path string, entries []entry) (*os.File, error) {
	file, err := os.CreateTemp(filepath.Dir(path), temporary)
	if err != nil {
		return nil, err
	}
	lines := json.NewEncoder(file)
	for _, e := range entries {
		if err == nil {
			err = lines.Encode(e)
		}
	}
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), file.Close())
	}
	return file, nil
}

// syncFolder has a new, renamed or removed file of it survive a power cut.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
