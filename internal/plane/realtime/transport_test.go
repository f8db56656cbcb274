package realtime

import (
	"testing"

	"github.com/centrifugal/centrifuge"
	"github.com/centrifugal/protocol"
	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// recorder is a sink that notes the offsets of messages.
type recorder struct{ offsets []uint64 }

func (r *recorder) bind(*session)                           {}
func (r *recorder) subscribed(*following) error             { return nil }
func (r *recorder) gap(*following, *Gap) error              { return nil }
func (r *recorder) failed(*following, *plane.Problem) error { return nil }
func (r *recorder) moved(*following, move) error            { return nil }
func (r *recorder) heartbeat() error                        { return nil }
func (r *recorder) flush() error                            { return nil }
func (r *recorder) close(centrifuge.Disconnect)             {}
func (r *recorder) message(_ *following, m *frame) error {
	r.offsets = append(r.offsets, m.offset)
	return nil
}

// TestDeliverOnlyWhatIsLive sends pushes that were on their way when a room was
// left, or given up to be resumed: they belong to a subscription that is over.
func TestDeliverOnlyWhatIsLive(t *testing.T) {
	out := &recorder{}
	m := newMetrics(plane.NewMetrics(planeconfig.Config{}, "test"))
	gw := &Gateway{metrics: m}
	f := &following{room: "a", live: true, announced: true, pos: Position{Epoch: "e", Offset: 1}}
	s := &session{gw: gw, stats: m.protocol("test"), sink: out, rooms: []*following{f}, replies: make(chan *protocol.Reply, 1)}
	push := func(room string, offset uint64) []byte {
		data, err := (&protocol.Reply{Push: &protocol.Push{Channel: room, Pub: &protocol.Publication{Offset: offset, Data: []byte("1")}}}).MarshalCF()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	deliver := func(data []byte) {
		t.Helper()
		if err := s.deliver(data); err != nil {
			t.Fatal(err)
		}
	}
	known := push("a", 2)
	deliver(known)
	deliver(push("b", 3))
	f.live = false
	deliver(push("a", 3))
	deliver(known)
	f.live = true
	deliver(push("a", 3))
	if diff := cmp.Diff([]uint64{2, 3}, out.offsets); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
	if f.pos.Offset != 3 {
		t.Errorf("the position is %v", f.pos)
	}
}
