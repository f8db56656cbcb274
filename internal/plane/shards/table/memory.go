package table

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Memory is a Store in the memory of a process, for tests.
type Memory struct {
	mu      sync.Mutex
	state   State
	version int
	changed chan struct{}
}

// Read implements Store.
func (m *Memory) Read(context.Context) (State, Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Clone(), m.name(), nil
}

// Write implements Store.
func (m *Memory) Write(_ context.Context, s State, version Version) (Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if version != m.name() {
		return "", ErrConflict
	}
	m.state = s.Clone()
	m.version++
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
	return m.name(), nil
}

// Watch implements Store.
func (m *Memory) Watch(ctx context.Context, seen func(State)) error {
	for {
		m.mu.Lock()
		state := m.state.Clone()
		if m.changed == nil {
			m.changed = make(chan struct{})
		}
		changed := m.changed
		m.mu.Unlock()
		seen(state)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

func (m *Memory) name() Version { return Version(fmt.Sprint(m.version)) }

// Clone shares nothing with s that is ever changed.
func (s State) Clone() State {
	s.Table, s.Target, s.Base = s.Table.Clone(), s.Target.Clone(), s.Base.Clone()
	s.History, s.Dropping, s.Failures = slices.Clone(s.History), slices.Clone(s.Dropping), slices.Clone(s.Failures)
	// A list in it is replaced, never changed.
	s.Incarnations = maps.Clone(s.Incarnations)
	return s
}
