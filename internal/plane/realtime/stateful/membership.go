package stateful

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

const (
	// beatInterval is how often a member says that it is alive.
	beatInterval = 500 * time.Millisecond
	// deadAfter is how long one must have said nothing for the others to do without it.
	deadAfter = 3 * time.Second
	// maxProposals bounds how often one tries to be the one who changes the table in one go.
	maxProposals = 5
)

// membership is a member's part in keeping the table: it says that it is alive, sees who else is, and proposes a table
// without those who are gone and with those who came. Whose table it is to be, the engine decides.
type membership struct {
	client     rueidis.Client
	prefix     string
	partitions int
	self       string
	peer       Peer
	log        *slog.Logger
	now        func() time.Time
	timeout    time.Duration
	beat, dead time.Duration
	// changed is told of each table that replaced another, in order.
	changed func(before, after *view)

	current atomic.Pointer[view]

	// mu lets one look at a time.
	mu      sync.Mutex
	beats   uint64
	seen    map[string]sighting
	leaving bool

	waiting sync.Mutex
	// arrival is closed when the table changes. Guarded by waiting.
	arrival chan struct{}
}

// entry is what a member says of itself.
type entry struct {
	Peer
	Beats uint64 `json:"beats"`
}

// sighting is when a member said something new.
type sighting struct {
	entry
	at time.Time
}

// newMemberID tells a process from all others, also from the one before it at the same address.
func newMemberID(address string) string { return address + "#" + randomText() }

func randomText() string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (m *membership) ringKey() string    { return RingKey(m.prefix) }
func (m *membership) membersKey() string { return m.prefix + ".ring.members" }

// RingKey of the rooms with a prefix. Who deletes it ends every ownership: no owner can append anything, and the next
// table has fences that none had before.
func RingKey(prefix string) string { return prefix + ".ring" }

func (m *membership) view() *view { return m.current.Load() }

// run looks at an interval until ctx ends.
func (m *membership) run(ctx context.Context) {
	tick := time.NewTicker(m.beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := m.look(ctx); err != nil && ctx.Err() == nil {
			m.log.Warn("the table of the rooms' owners can not be looked after", "error", err)
		}
	}
}

// look says that this member is alive, takes up a table that is new, and proposes another where members came or went.
func (m *membership) look(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lookLocked(ctx)
}

// refresh looks unless the table has changed since the caller saw it.
func (m *membership) refresh(ctx context.Context, known *view) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.view() != known {
		return nil
	}
	return m.lookLocked(ctx)
}

func (m *membership) lookLocked(ctx context.Context) error {
	for range maxProposals {
		if err := m.beatOnce(ctx); err != nil {
			m.forgive()
			return err
		}
		alive, gone := m.alive()
		if m.agrees(alive) {
			return nil
		}
		won, err := m.propose(ctx, alive, gone)
		if err != nil {
			m.forgive()
			return err
		}
		if won {
			return nil
		}
	}
	return nil
}

// forgive counts nobody's silence while the engine did not answer.
func (m *membership) forgive() {
	now := m.now()
	for id, s := range m.seen {
		s.at = now
		m.seen[id] = s
	}
}

func (m *membership) beatOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	id, said := "", []byte(nil)
	if !m.leaving {
		m.beats++
		var err error
		if said, err = json.Marshal(entry{Peer: m.peer, Beats: m.beats}); err != nil {
			return err
		}
		id = m.self
	}
	answer, err := beatScript.Exec(ctx, m.client, []string{m.ringKey(), m.membersKey()}, []string{id, string(said), m.view().token}).ToArray()
	if err != nil {
		return fmt.Errorf("say that this replica is alive: %w", err)
	}
	if len(answer) != 3 {
		return fmt.Errorf("say that this replica is alive: an answer of %d parts", len(answer))
	}
	token, _ := answer[0].ToString()
	text, _ := answer[1].ToString()
	members, err := answer[2].AsStrSlice()
	if err != nil {
		return fmt.Errorf("read the members: %w", err)
	}
	m.sight(members)
	return m.takeUp(token, text)
}

// sight notes who has said something new. members are IDs and entries.
func (m *membership) sight(members []string) {
	now, before := m.now(), m.seen
	m.seen = map[string]sighting{}
	for i := 0; i+1 < len(members); i += 2 {
		var e entry
		if err := json.Unmarshal([]byte(members[i+1]), &e); err != nil {
			// It counts as silent, and goes.
			m.log.Warn("a member is not understood", "member", members[i], "error", err)
		}
		s, known := before[members[i]]
		if !known || s.Beats != e.Beats {
			s = sighting{entry: e, at: now}
		}
		m.seen[members[i]] = s
	}
}

func (m *membership) takeUp(token, text string) error {
	before := m.view()
	if token == before.token {
		return nil
	}
	if token == "" {
		// Lost, and to be made anew: from the last one, so that little moves.
		lost := *before
		lost.token = ""
		m.adopt(&lost)
		return nil
	}
	v, err := parseView(token, text, m.partitions)
	if err != nil {
		return err
	}
	m.adopt(v)
	return nil
}

func (m *membership) adopt(v *view) {
	before := m.current.Swap(v)
	m.waiting.Lock()
	close(m.arrival)
	m.arrival = make(chan struct{})
	m.waiting.Unlock()
	m.changed(before, v)
}

// alive are the IDs of those who take part, in order, and those who are gone. Who came after another at the same address
// is known to have replaced it.
func (m *membership) alive() (alive, gone []string) {
	now := m.now()
	for _, id := range slices.Sorted(maps.Keys(m.seen)) {
		s := m.seen[id]
		switch {
		case id == m.self:
			if !m.leaving {
				alive = append(alive, id)
			}
		case now.Sub(s.at) >= m.dead || s.Address == "" || s.Address == m.peer.Address:
			gone = append(gone, id)
		default:
			alive = append(alive, id)
		}
	}
	if m.leaving {
		gone = append(gone, m.self)
	}
	return alive, gone
}

// agrees reports whether the table is of those who are alive. One that leaves and is the last keeps all.
func (m *membership) agrees(alive []string) bool {
	v := m.view()
	if len(alive) == 0 {
		return true
	}
	if v.token == "" || len(v.Table.Members) != len(alive) {
		return false
	}
	for i, member := range v.Table.Members {
		if member.ID != alive[i] {
			return false
		}
	}
	return true
}

// propose has the engine take a table of members, and reports false where another was faster.
func (m *membership) propose(ctx context.Context, members, gone []string) (bool, error) {
	before := m.view()
	peers := map[string]Peer{}
	for id, s := range m.seen {
		peers[id] = s.Peer
	}
	next, moved := before.next(members, peers, randomText)
	text, err := json.Marshal(next.state)
	if err != nil {
		return false, err
	}
	args := append([]string{before.token, next.token, string(text), strconv.Itoa(len(gone))}, gone...)
	for _, p := range moved {
		args = append(args, strconv.Itoa(p), next.fence(p))
	}
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	won, err := proposeScript.Exec(ctx, m.client, []string{m.ringKey(), m.membersKey()}, args).AsInt64()
	if err != nil {
		return false, fmt.Errorf("propose a table of the rooms' owners: %w", err)
	}
	if won == 1 {
		m.log.Info("the rooms have other owners", "epoch", next.Table.Epoch, "members", len(members), "moved", len(moved), "gone", gone)
		m.adopt(next)
	}
	return won == 1, nil
}

// leave gives up what this member owns, to the others; where there are none it keeps it.
func (m *membership) leave(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaving = true
	return m.lookLocked(ctx)
}

// resign takes this member out of the table whatever becomes of its rooms: it ends now.
func (m *membership) resign(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaving = true
	for range maxProposals {
		if err := m.beatOnce(ctx); err != nil {
			return err
		}
		if _, listed := m.seen[m.self]; !listed && !m.view().has(m.self) {
			return nil
		}
		alive, gone := m.alive()
		if won, err := m.propose(ctx, alive, gone); won || err != nil {
			return err
		}
	}
	return nil
}

// await waits until the table is another than known, or ctx ends.
func (m *membership) await(ctx context.Context, known *view) {
	m.waiting.Lock()
	arrival := m.arrival
	m.waiting.Unlock()
	if m.view() != known {
		return
	}
	select {
	case <-arrival:
	case <-ctx.Done():
	}
}

// token asks the engine which table is in force.
func (m *membership) token(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	token, err := m.client.Do(ctx, m.client.B().Hget().Key(m.ringKey()).Field("token").Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return "", nil
	}
	return token, err
}
