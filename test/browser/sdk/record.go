package sdk

import (
	"encoding/json"
	"fmt"

	"github.com/trellis-dev/trellis/test/e2e/history"
)

// State is what a client knows after some events.
type State struct {
	// Attached is true while its subscription stands.
	Attached bool
	// Connects counts how often it got attached.
	Connects int
	// At is where it would resume.
	At history.Position
	// History is what it received.
	History history.History
	// Trouble is what the SDK last complained of.
	Trouble string
}

// Record makes the events of a client that began at the room's start into what the model judges. Data is
// {"id": …}, as of a realtimeclient.Publisher.
func Record(events []Event) (State, error) {
	var s State
	for _, e := range events {
		switch e.Type {
		case "connecting", "unsubscribed", "disconnected":
			s.Attached = false
			s.Trouble = fmt.Sprintf("%s: %d %s", e.Type, e.Code, e.Reason)
		case "error", "subscription error":
			s.Trouble = fmt.Sprintf("%s: %d %s", e.Type, e.Code, e.Reason)
		case "subscribed":
			s.subscribed(e)
		case "publication":
			if err := s.publication(e); err != nil {
				return s, err
			}
		}
	}
	return s, nil
}

// subscribed notes the epoch, which publications do not name; what the SDK recovered follows as publications.
func (s *State) subscribed(e Event) {
	s.Attached = true
	s.Connects++
	at := history.Position{Epoch: e.Epoch, Offset: e.Offset}
	switch {
	case !e.Recovered:
		s.History.Events = append(s.History.Events, history.Event{Kind: history.Gap, Since: s.At, At: at, Reason: "not recovered"})
		s.At = at
	case s.At.Epoch == "":
		s.At.Epoch = e.Epoch
	}
}

func (s *State) publication(e Event) error {
	var data struct{ ID string }
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return fmt.Errorf("publication %d: %w", e.Offset, err)
	}
	s.At.Offset = e.Offset
	s.History.Events = append(s.History.Events, history.Event{Kind: history.Message, At: s.At, ID: data.ID})
	return nil
}
