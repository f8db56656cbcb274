package sdk

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/test/e2e/history"
)

func publication(offset uint64) Event {
	return Event{Type: "publication", Offset: offset, Data: json.RawMessage(fmt.Sprintf(`{"id":"m-%d"}`, offset))}
}

func TestRecord(t *testing.T) {
	at := func(epoch string, offset uint64) history.Position {
		return history.Position{Epoch: epoch, Offset: offset}
	}
	message := func(epoch string, offset uint64) history.Event {
		return history.Event{At: at(epoch, offset), ID: fmt.Sprint("m-", offset)}
	}
	recovered := Event{Type: "subscribed", WasRecovering: true, Recovered: true, Epoch: "e", Offset: 1}
	lost := Event{Type: "subscribed", WasRecovering: true, Epoch: "f", Offset: 7}
	cut := Event{Type: "connecting", Code: 3001, Reason: "shutdown"}
	for name, tc := range map[string]struct {
		events []Event
		want   State
	}{
		"nothing yet": {},
		"attached": {[]Event{recovered, publication(1)}, State{Attached: true, Connects: 1, At: at("e", 1),
			History: history.History{Events: []history.Event{message("e", 1)}}}},
		"cut": {[]Event{recovered, publication(1), cut}, State{Connects: 1, At: at("e", 1), Trouble: "connecting: 3001 shutdown",
			History: history.History{Events: []history.Event{message("e", 1)}}}},
		"recovered": {[]Event{recovered, publication(1), cut, recovered, publication(2)}, State{Attached: true, Connects: 2, At: at("e", 2),
			Trouble: "connecting: 3001 shutdown", History: history.History{Events: []history.Event{message("e", 1), message("e", 2)}}}},
		"not recovered": {[]Event{recovered, publication(1), cut, lost, publication(8)}, State{Attached: true, Connects: 2, At: at("f", 8),
			Trouble: "connecting: 3001 shutdown", History: history.History{Events: []history.Event{message("e", 1),
				{Kind: history.Gap, Since: at("e", 1), At: at("f", 7), Reason: "not recovered"}, message("f", 8)}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Record(tc.events)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}
