package stateful

import (
	"fmt"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/google/go-cmp/cmp"
)

// TestReadsFromMemory tables what an owner answers by itself, and where the engine must be asked.
func TestReadsFromMemory(t *testing.T) {
	const ask = "ask the engine"
	now := time.Unix(1000, 0)
	at := func(offset uint64) *centrifuge.StreamPosition { return &centrifuge.StreamPosition{Offset: offset} }
	make5 := func(change func(*room)) *room {
		r := &room{}
		r.found(centrifuge.StreamPosition{Epoch: "e", Offset: 2}, now)
		r.stored([]*centrifuge.Publication{{Offset: 3}, {Offset: 4}, {Offset: 5}}, 4, now)
		change(r)
		return r
	}
	same := func(*room) {}
	tests := []struct {
		name   string
		room   *room
		filter centrifuge.HistoryFilter
		after  time.Duration
		want   any
	}{
		{"where it is", make5(same), centrifuge.HistoryFilter{}, 0, []uint64{}},
		{"nothing new", make5(same), centrifuge.HistoryFilter{Since: at(5), Limit: 10}, 0, []uint64{}},
		{"nothing new for long", make5(same), centrifuge.HistoryFilter{Since: at(5), Limit: 10}, 5 * time.Minute, []uint64{}},
		{"not asked for too long", make5(same), centrifuge.HistoryFilter{Since: at(5), Limit: 10}, 10 * time.Minute, ask},
		{"the newest", make5(same), centrifuge.HistoryFilter{Since: at(3), Limit: 10}, 0, []uint64{4, 5}},
		{"all that is here", make5(same), centrifuge.HistoryFilter{Since: at(2), Limit: -1}, 0, []uint64{3, 4, 5}},
		{"a page", make5(same), centrifuge.HistoryFilter{Since: at(2), Limit: 2}, 0, []uint64{3, 4}},
		{"older", make5(same), centrifuge.HistoryFilter{Since: at(1), Limit: 10}, 0, ask},
		{"ahead", make5(same), centrifuge.HistoryFilter{Since: at(6), Limit: 10}, 0, ask},
		{"expired", make5(same), centrifuge.HistoryFilter{Since: at(3), Limit: 10}, time.Minute, ask},
		{"backwards", make5(same), centrifuge.HistoryFilter{Reverse: true, Limit: 1}, 0, ask},
		{"the oldest, which is not here", make5(same), centrifuge.HistoryFilter{Limit: 10}, 0, ask},
		{"the oldest of a full window", make5(func(r *room) { r.stored([]*centrifuge.Publication{{Offset: 6}, {Offset: 7}}, 4, now) }),
			centrifuge.HistoryFilter{Limit: 2}, 0, []uint64{4, 5}},
		{"not known", make5(func(r *room) { r.lost() }), centrifuge.HistoryFilter{}, 0, ask},
		{"in doubt", make5(func(r *room) { r.doubt() }), centrifuge.HistoryFilter{}, 0, ask},
		{"in doubt, found again", make5(func(r *room) { r.doubt(); r.found(centrifuge.StreamPosition{Epoch: "e", Offset: 5}, now) }),
			centrifuge.HistoryFilter{Since: at(5), Limit: 1}, 0, ask},
		{"in doubt until the next", make5(func(r *room) {
			r.doubt()
			r.found(centrifuge.StreamPosition{Epoch: "e", Offset: 5}, now)
			r.stored([]*centrifuge.Publication{{Offset: 6}}, 4, now)
		}), centrifuge.HistoryFilter{Since: at(5), Limit: 1}, 0, []uint64{6}},
		{"forgotten", make5(func(r *room) { r.end() }), centrifuge.HistoryFilter{}, 0, ask},
		{"empty", func() *room {
			r := &room{}
			r.found(centrifuge.StreamPosition{Epoch: "e"}, now)
			return r
		}(), centrifuge.HistoryFilter{Limit: 10}, 5 * time.Minute, []uint64{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pubs, _, ok := tt.room.read(tt.filter, kept{4, time.Minute}, now.Add(tt.after))
			offsets := []uint64{}
			for _, p := range pubs {
				offsets = append(offsets, p.Offset)
			}
			got := any(offsets)
			if !ok {
				got = ask
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSweepForgetsWhatWasAskedForLongestAgo has more rooms be asked for than are to be known.
func TestSweepForgetsWhatWasAskedForLongestAgo(t *testing.T) {
	v, err := newView(1)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	o := &owner{rooms: map[string]*room{}, view: func() *view { return v }, now: func() time.Time { return now }}
	for n := range maxRooms + 1 {
		now = now.Add(time.Microsecond)
		if _, err := o.room(fmt.Sprint(n), ownership{}); err != nil {
			t.Fatal(err)
		}
	}
	o.rooms["0"].doubtful = true
	first := o.rooms["1"]
	o.sweep(v)
	if o.rooms["0"] == nil || !first.gone || o.rooms[fmt.Sprint(maxRooms)] == nil || len(o.rooms) != maxRooms/2 {
		t.Errorf("there are %d rooms; known are the one in doubt: %t, the first: %t, the last: %t",
			len(o.rooms), o.rooms["0"] != nil, !first.gone, o.rooms[fmt.Sprint(maxRooms)] != nil)
	}
}
