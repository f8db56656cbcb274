package stateful

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
)

// cable is what a replica's own client reaches the engine by. Cut, it carries nothing, and tells nobody.
type cable struct {
	mu   sync.Mutex
	cut  bool
	mend chan struct{}
}

// sever has all that is sent be held up, until the returned function is called.
func (c *cable) sever() (mend func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut, c.mend = true, make(chan struct{})
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cut = false
		close(c.mend)
	}
}

// wait until the cable is whole.
func (c *cable) wait() {
	c.mu.Lock()
	cut, mend := c.cut, c.mend
	c.mu.Unlock()
	if cut {
		<-mend
	}
}

// throughCable is a connection whose writes are held up while its cable is cut: what was sent arrives late, as from a
// network that is whole again.
type throughCable struct {
	net.Conn
	cable *cable
}

func (c throughCable) Write(p []byte) (int, error) {
	c.cable.wait()
	return c.Conn.Write(p)
}

// by has a replica's own client reach the engine by a cable.
func by(t *testing.T, socket string, c *cable) func(*Options) {
	return func(o *Options) {
		o.Client.Close()
		client, err := rueidis.NewClient(rueidis.ClientOption{
			InitAddress: []string{"redis"}, ForceSingleClient: true, DisableCache: true, DisableRetry: true,
			// Nothing but the test ends what is held up.
			ConnWriteTimeout: contracttest.Patience, Dialer: net.Dialer{KeepAlive: contracttest.Patience},
			DialCtxFn: func(ctx context.Context, _ string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
				conn, err := d.DialContext(ctx, "unix", socket)
				return throughCable{conn, c}, err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		o.Client = client
	}
}

// TestCutOffOwner cuts an owner off from the engine with a message on its way there. Another takes over and goes on; what
// was held up arrives when the network is whole again, is refused, and is published once, after what came meanwhile.
func TestCutOffOwner(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	var line cable
	cut, other := join(t, socket, "cut off", by(t, socket, &line)), join(t, socket, "other")
	owns(t, cut, some)
	owns(t, other, some)
	room := roomOf(t, cut)
	publish(t, cut, room, `"before"`)

	mend := line.sever()
	late := make(chan error, 1)
	go func() {
		_, err := cut.Publish(room, []byte(`"late"`), withHistory(""))
		late <- err
	}()
	owns(t, other, all)
	publish(t, other, room, `"meanwhile"`)
	mend()
	if err := <-late; err != nil {
		t.Errorf("the message that was held up: %v", err)
	}
	owns(t, cut, some)
	publish(t, cut, room, `"after"`)
	if diff := cmp.Diff([]string{`"before"`, `"meanwhile"`, `"late"`, `"after"`}, logOf(t, other, room)); diff != "" {
		t.Errorf("the room (-want +got):\n%s", diff)
	}
}

// TestClocksHaveNoSay sets a replica's clock to days later, and to a day earlier, again and again while both publish in
// the same rooms. It may take the other for silent, and move rooms; it never owns what the other does: each room is one
// sequence, each publisher's messages in their order, and no message stands under an older fence than the one before.
func TestClocksHaveNoSay(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	var off atomic.Int64
	keeps := func(o *Options) { o.HistorySize = 1e6 }
	wrong := join(t, socket, "wrong", keeps, func(o *Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	})
	right := join(t, socket, "right", keeps)
	owns(t, wrong, some)
	owns(t, right, some)
	brokers, rooms := []*Broker{wrong, right}, []string{roomOf(t, wrong), roomOf(t, right)}

	ctx, stop := context.WithCancel(t.Context())
	var sent [2][2]int
	var work sync.WaitGroup
	for at, room := range rooms {
		for by, b := range brokers {
			work.Go(func() {
				for ; ctx.Err() == nil; sent[at][by]++ {
					if _, err := b.Publish(room, fmt.Appendf(nil, "[%d,%d]", by, sent[at][by]), withHistory(fmt.Sprint(by, "-", sent[at][by]))); err != nil {
						t.Errorf("publish in %s: %v", room, err)
						return
					}
				}
			})
		}
	}
	const day = 24 * time.Hour
	for _, jump := range []time.Duration{day, -day, day, -day} {
		epoch := right.members.view().Table.Epoch
		off.Add(int64(jump))
		if jump > 0 {
			// One that has said something since it was last looked at is taken for silent at another jump.
			contracttest.Eventually(t, "the other to be taken for silent", func() bool {
				off.Add(int64(jump))
				return right.members.view().Table.Epoch > epoch
			})
		}
		owns(t, right, some)
		owns(t, wrong, some)
	}
	stop()
	work.Wait()
	for at, room := range rooms {
		checkSequence(t, right, room, sent[at])
	}
}

// checkSequence holds a room's log, and the fence that each message was appended under, against what was sent.
func checkSequence(t *testing.T, b *Broker, room string, sent [2]int) {
	t.Helper()
	client := b.opts.Client
	entries, err := client.Do(t.Context(), client.B().Xrange().Key(testPrefix+".stream."+room).Start("-").End("+").Build()).AsXRange()
	if err != nil {
		t.Fatal(err)
	}
	fence := uint64(0)
	for i, e := range entries {
		var id string
		var now uint64
		if _, err := fmt.Sscanf(e.FieldValues["o"], "%12s:%d", &id, &now); err != nil || now < fence {
			t.Errorf("%s: message %d was appended under %q after one under %d: two owners (%v)", room, i+1, e.FieldValues["o"], fence, err)
		}
		fence = now
		if e.ID != fmt.Sprintf("%d-0", i+1) {
			t.Fatalf("%s: message %d has the offset %s", room, i+1, e.ID)
		}
	}
	next := [2]int{}
	for _, data := range logOf(t, b, room) {
		var by, n int
		if _, err := fmt.Sscanf(data, "[%d,%d]", &by, &n); err != nil || n != next[by] {
			t.Fatalf("%s: %s comes where %d was to", room, data, next[by])
		}
		next[by]++
	}
	if next != sent {
		t.Errorf("%s: it has %v messages of its publishers, who had %v acknowledged", room, next, sent)
	}
}
