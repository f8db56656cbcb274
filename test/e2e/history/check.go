package history

import (
	"fmt"
	"slices"
)

// Check compares what a client received with what was published.
func Check(h History, published Ledger) Report {
	m := &model{at: Position{Offset: h.From}, places: map[Position]string{}, ids: map[string]Position{}}
	for _, e := range h.Events {
		if e.Kind == Gap {
			m.gap(e)
		} else {
			m.message(e)
		}
	}
	m.compare(h.From, published)
	m.report.Received = len(m.places)
	return m.report
}

// model is what a client knows while it reads.
type model struct {
	// at is the place of the last message. Its epoch is empty until the first event tells it.
	at     Position
	places map[Position]string
	ids    map[string]Position
	gaps   []Event
	report Report
}

func (m *model) fault(f Fault, format string, args ...any) {
	m.report.Violations = append(m.report.Violations, Violation{Fault: f, Detail: fmt.Sprintf(format, args...)})
}

func (m *model) message(e Event) {
	if m.at.Epoch == "" {
		m.at.Epoch = e.At.Epoch
	}
	switch {
	case e.At.Epoch != m.at.Epoch:
		m.fault(Unannounced, "%s (%s) follows %s: the epoch changed and nothing was said", e.ID, e.At, m.at)
		m.at = e.At
	case e.At.Offset == m.at.Offset+1:
		m.at = e.At
	case e.At.Offset > m.at.Offset:
		m.fault(Unannounced, "%s (%s) follows %s: %d messages are missing and nothing was said", e.ID, e.At, m.at, e.At.Offset-m.at.Offset-1)
		m.at = e.At
	case m.places[e.At] == "":
		m.fault(Reordered, "%s (%s) came after %s", e.ID, e.At, m.at)
	default:
		m.fault(Duplicate, "%s (%s) came again after %s", e.ID, e.At, m.at)
		return
	}
	m.keep(e)
}

// keep notes a message. One that is stored again in another epoch is no
// duplicate: with its rooms, the engine lost the idempotency keys.
func (m *model) keep(e Event) {
	if before, ok := m.ids[e.ID]; ok && before.Epoch == e.At.Epoch {
		m.fault(Duplicate, "%s is at %s and at %s", e.ID, before, e.At)
	}
	m.places[e.At], m.ids[e.ID] = e.ID, e.At
}

// gap moves on to where the gateway says that it goes on. Where that is before
// what was seen, the engine lost the end of the room, and its places are used again.
func (m *model) gap(e Event) {
	m.report.Gaps++
	m.gaps = append(m.gaps, e)
	if m.at.Epoch != "" && e.Since != m.at {
		m.fault(Unannounced, "a gap speaks of %s and the client was at %s", e.Since, m.at)
	}
	for place := range m.places {
		if place.Epoch == e.At.Epoch && place.Offset > e.At.Offset {
			delete(m.places, place)
		}
	}
	m.at = e.At
}

func (m *model) compare(from uint64, published Ledger) {
	sent := map[string]bool{}
	for _, id := range published.Unknown {
		sent[id] = true
	}
	for _, ack := range published.Acknowledged {
		sent[ack.ID] = true
		if ack.At.Offset > from {
			m.expect(ack)
		}
	}
	for id, at := range m.ids {
		if !sent[id] {
			m.fault(Invented, "%s (%s) was never sent", id, at)
		}
	}
}

func (m *model) expect(ack Acknowledged) {
	at, received := m.ids[ack.ID]
	switch {
	case received && at.Epoch != ack.At.Epoch:
		// The engine gave its rooms a new epoch, and this client got it there.
	case received && at != ack.At:
		m.fault(Disagreement, "%s was acknowledged at %s and received at %s", ack.ID, ack.At, at)
	case received:
	case m.announced(ack.At):
		m.report.Missed = append(m.report.Missed, ack)
	default:
		m.fault(Lost, "%s (%s) was acknowledged and never received", ack.ID, ack.At)
	}
}

// announced is true when a gap was told that the place lies in. A client that was told that the epoch
// changed may have slept through more than one change: what was acknowledged in an epoch that came
// and went meanwhile, and did not live on in a later one, lies in that gap. That no such epoch came
// after the client's last one is not known here: a history is taken when its client is in the room's epoch.
func (m *model) announced(p Position) bool {
	visited := m.visited(p.Epoch)
	for _, g := range m.gaps {
		after := p.Epoch == g.Since.Epoch && p.Offset > g.Since.Offset
		before := p.Epoch == g.At.Epoch && p.Offset <= g.At.Offset
		sameEpoch := g.Since.Epoch == g.At.Epoch
		if sameEpoch && after && before || !sameEpoch && (after || before || !visited) {
			return true
		}
	}
	return false
}

// visited is true when the client was in an epoch at any time.
func (m *model) visited(epoch string) bool {
	for place := range m.places {
		if place.Epoch == epoch {
			return true
		}
	}
	return m.at.Epoch == epoch || slices.ContainsFunc(m.gaps, func(g Event) bool {
		return g.Since.Epoch == epoch || g.At.Epoch == epoch
	})
}

// Agree compares what several clients of one room saw, by the clients' names:
// at one place there is one message, whichever protocol brought it.
func Agree(histories map[string]History) []Violation {
	type seen struct{ id, client string }
	places := map[Position]seen{}
	var out []Violation
	for client, h := range histories {
		for _, e := range h.Events {
			first, ok := places[e.At]
			switch {
			case e.Kind == Gap:
			case !ok:
				places[e.At] = seen{id: e.ID, client: client}
			case first.id != e.ID:
				out = append(out, Violation{Disagreement, fmt.Sprintf("at %s, %s saw %s and %s saw %s", e.At, client, e.ID, first.client, first.id)})
			}
		}
	}
	return out
}
