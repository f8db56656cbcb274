package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// crowd is a room in which n clients saw all of many messages.
func crowd(n, messages int) Room {
	var r Room
	var all []Event
	for offset := uint64(1); offset <= uint64(messages); offset++ {
		id := fmt.Sprint("m-", offset)
		r.Published.Acknowledged = append(r.Published.Acknowledged, Acknowledged{ID: id, At: at(offset)})
		all = append(all, message(offset, id))
	}
	r.Clients = map[string]History{}
	for c := range n {
		r.Clients[fmt.Sprint("client-", c)] = History{Events: slices.Clone(all)}
	}
	return r
}

// One violation at one place of one client in a crowd is found, whichever it is; the others are cleared.
func TestJudgeFindsOneAmongMany(t *testing.T) {
	const clients, messages = 50, 200
	plant := map[Fault]func([]Event, int) []Event{
		Lost:        func(e []Event, _ int) []Event { return e[:len(e)-1] },
		Unannounced: func(e []Event, i int) []Event { return slices.Delete(e, i, i+1) },
		Duplicate:   func(e []Event, i int) []Event { return slices.Insert(e, i, e[i]) },
		Reordered: func(e []Event, i int) []Event {
			e[i], e[i+1] = e[i+1], e[i]
			return e
		},
		Disagreement: func(e []Event, i int) []Event {
			e[i].ID, e[i+1].ID = e[i+1].ID, e[i].ID
			return e
		},
		Invented: func(e []Event, i int) []Event { return append(e, message(messages+1, "from another room")) },
	}
	for fault, change := range plant {
		t.Run(string(fault), func(t *testing.T) {
			for place := 1; place < messages-1; place += 9 {
				room := crowd(clients, messages)
				victim := fmt.Sprint("client-", rand.IntN(clients))
				h := room.Clients[victim]
				h.Events = change(h.Events, place)
				room.Clients[victim] = h
				reports, disagreements := room.Judge()
				for client, report := range reports {
					found := slices.ContainsFunc(report.Violations, func(v Violation) bool { return v.Fault == fault })
					if found != (client == victim) || report.Complete() == (client == victim) {
						t.Fatalf("at %d of %s: %s has %v", place, victim, client, report.Violations)
					}
				}
				if (fault == Disagreement) != (len(disagreements) > 0) {
					t.Fatalf("at %d: the clients disagree: %v", place, disagreements)
				}
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		reports, disagreements := crowd(clients, messages).Judge()
		if len(reports) != clients || len(disagreements) > 0 {
			t.Fatalf("%d reports and %v", len(reports), disagreements)
		}
		for client, report := range reports {
			if !report.Complete() || report.Received != messages {
				t.Errorf("%s: %+v", client, report)
			}
		}
	})
}
