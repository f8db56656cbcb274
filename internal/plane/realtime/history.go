package realtime

import (
	"fmt"

	"github.com/centrifugal/centrifuge"
)

// Reasons of a gap, as clients see them.
const (
	// gapExceeded: messages after the position are no longer kept.
	gapExceeded = "window-exceeded"
	// gapEpoch: the engine lost the room's history, and counts anew.
	gapEpoch = "epoch-changed"
	// gapAhead: the engine came back with less than it had acknowledged.
	gapAhead = "position-ahead"
)

// Gap says that messages between two positions cannot be had any more, or that
// nobody can tell whether there were some.
type Gap struct {
	Reason string
	// Since is the position that was asked for.
	Since Position
	// Position is where it goes on: what follows has offsets after this one.
	Position Position
}

// page is a part of a room's history.
type page struct {
	messages []*centrifuge.Publication
	gap      *Gap
	// from is the position before the first message, next the one after the last.
	from, next Position
	// more is true when next is not yet the newest.
	more bool
}

// history reads up to limit messages of room. It is the one place that decides
// whether a position can be resumed from.
func readHistory(node *centrifuge.Node, room string, s Since, limit int) (page, error) {
	switch s.kind {
	case sinceLatest:
		top, err := node.History(room)
		if err != nil {
			return page{}, fmt.Errorf("read the newest position of room %q: %w", room, err)
		}
		at := positionOf(top.StreamPosition)
		return page{from: at, next: at}, nil
	case sinceOldest:
		return readOldest(node, room, limit)
	}
	// The epoch is left out and compared here: the library would treat a changed one as an error.
	res, err := node.History(room, centrifuge.WithHistoryFilter(centrifuge.HistoryFilter{
		Since: &centrifuge.StreamPosition{Offset: s.at.Offset}, Limit: limit,
	}))
	if err != nil {
		return page{}, fmt.Errorf("read the history of room %q: %w", room, err)
	}
	reason := gapReason(s.at, res)
	if reason == "" {
		return pageOf(res, s.at), nil
	}
	p, err := readOldest(node, room, limit)
	if err != nil {
		return page{}, err
	}
	p.gap = &Gap{Reason: reason, Since: s.at, Position: p.from}
	return p, nil
}

func gapReason(at Position, res centrifuge.HistoryResult) string {
	switch {
	case res.Epoch != at.Epoch:
		return gapEpoch
	case res.Offset < at.Offset:
		return gapAhead
	case res.Offset == at.Offset:
		return ""
	case len(res.Publications) == 0 || res.Publications[0].Offset != at.Offset+1:
		return gapExceeded
	}
	return ""
}

func readOldest(node *centrifuge.Node, room string, limit int) (page, error) {
	res, err := node.History(room, centrifuge.WithLimit(limit))
	if err != nil {
		return page{}, fmt.Errorf("read the oldest messages of room %q: %w", room, err)
	}
	from := positionOf(res.StreamPosition)
	if len(res.Publications) > 0 {
		from.Offset = res.Publications[0].Offset - 1
	}
	return pageOf(res, from), nil
}

func pageOf(res centrifuge.HistoryResult, from Position) page {
	p := page{messages: res.Publications, from: from, next: from}
	if n := len(p.messages); n > 0 {
		p.next.Offset = p.messages[n-1].Offset
		p.more = p.next.Offset < res.Offset
	}
	return p
}
