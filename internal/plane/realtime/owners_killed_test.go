package realtime_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/realtime/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

const clientsOfRoom = 4

// sized is a number that the environment may make larger, for runs that take longer than each change of the code can wait.
func sized(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return usual
}

// TestOwnersKilled has clients publish and follow in many rooms while the rooms' owners are killed, and stopped until
// others have taken over, again and again. Each room's log is one sequence without a gap that has all that was
// acknowledged once, each client's in its order; each follower has seen it as it is; and no owner appended anything after
// the one that followed it.
func TestOwnersKilled(t *testing.T) {
	t.Parallel()
	rooms, rounds := sized("TRELLIS_ROOMS", 24), sized("TRELLIS_KILLS", 3)
	g := newGroup(t, 3)
	crowd := newCrowd(t, g, rooms)
	for round := range rounds {
		crowd.more(t, 2*rooms*clientsOfRoom)
		victim := round % len(g.planes)
		if round%3 == 2 {
			g.pause(t, victim)
		} else {
			g.replace(t, victim)
		}
	}
	crowd.more(t, 2*rooms*clientsOfRoom)
	crowd.end()
	for i := range rooms {
		checkRoom(t, g, crowd.rooms[i])
	}
	t.Logf("%d rooms, %d messages, %d of them sent again, the slowest acknowledged after %v",
		rooms, crowd.acked.Load(), crowd.again.Load(), crowd.slowest().Round(time.Millisecond))
}

// group is a gateway whose replicas are processes.
type group struct {
	file   string
	engine *redisServer
	prefix string
	client rueidis.Client

	mu     sync.Mutex
	planes []*process
}

func newGroup(t *testing.T, n int) *group {
	t.Helper()
	engine := startRedis(t)
	uri := filepath.Join(engine.dir, "uri")
	contracttest.Write(t, uri, fmt.Sprintf("redis://default:%s@127.0.0.1:%d", engine.password, engine.port))
	o := owned(t, conformance.Options{Configure: func(c *planeconfig.Config) {
		c.Realtime.History.Size = 10000
		c.Realtime.Limits.Connections, c.HTTP.MaxInFlight = 10000, 4096
	}})
	l := newLocal(t, o, planeconfig.Engine{Type: "Redis", URIFile: uri, Prefix: "test:"})
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{fmt.Sprintf("127.0.0.1:%d", engine.port)}, Password: engine.password, ForceSingleClient: true, DisableCache: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	g := &group{file: l.File, engine: engine, prefix: "test:owned", client: client}
	for range n {
		g.planes = append(g.planes, startProcess(t, g.file))
	}
	g.awaitOwners(t, g.planes...)
	return g
}

// awaitOwners waits until some planes own all, each of them a part.
func (g *group) awaitOwners(t *testing.T, planes ...*process) {
	t.Helper()
	contracttest.Eventually(t, "the rooms to have owners", func() bool {
		sum := 0
		for _, p := range planes {
			n, err := ownedPartitions(p.Admin)
			if err != nil || n == 0 {
				return false
			}
			sum += n
		}
		return sum == ring.DefaultPartitions
	})
}

// replace kills a plane and has another one come in its place, once the others have taken over.
func (g *group) replace(t *testing.T, i int) {
	t.Helper()
	g.planes[i].kill()
	g.awaitOwners(t, g.others(i)...)
	next := startProcess(t, g.file)
	g.mu.Lock()
	g.planes[i] = next
	g.mu.Unlock()
	g.awaitOwners(t, g.planes...)
}

// pause stops a plane in the middle of what it does until the others have taken over, and lets it go on as if nothing had been.
func (g *group) pause(t *testing.T, i int) {
	t.Helper()
	g.planes[i].signal(t, syscall.SIGSTOP)
	g.awaitOwners(t, g.others(i)...)
	g.planes[i].signal(t, syscall.SIGCONT)
	g.awaitOwners(t, g.planes...)
}

func (g *group) others(i int) []*process {
	return append(append([]*process{}, g.planes[:i]...), g.planes[i+1:]...)
}

// url of any plane, another with each try.
func (g *group) url(try int) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.planes[try%len(g.planes)].URL
}

// checkRoom holds a room's log against what its clients have sent and seen.
func checkRoom(t *testing.T, g *group, r *crowdedRoom) {
	t.Helper()
	ctx, cancel := contracttest.Soon(context.Background())
	defer cancel()
	entries, err := g.client.Do(ctx, g.client.B().Xrange().Key(g.prefix+".stream."+r.name).Start("-").End("+").Build()).AsXRange()
	if err != nil {
		t.Fatal(err)
	}
	var fence uint64
	for i, e := range entries {
		offset, _, _ := strings.Cut(e.ID, "-")
		if offset != strconv.Itoa(i+1) {
			t.Fatalf("room %s: the message after %d has the offset %s", r.name, i, offset)
		}
		_, epoch, _ := strings.Cut(e.FieldValues["o"], ":")
		now, err := strconv.ParseUint(epoch, 10, 64)
		if err != nil || now < fence {
			t.Errorf("room %s: message %s was appended under fence %q after one under %d: two owners", r.name, offset, epoch, fence)
		}
		fence = now
	}
	for i, c := range r.clients {
		log := c.seen()
		if len(log) != len(entries) {
			t.Errorf("room %s: client %d has seen %d of %d messages", r.name, i, len(log), len(entries))
		}
		for at, m := range log {
			if m.offset != uint64(at+1) || m.data != r.clients[0].log[at].data {
				t.Fatalf("room %s: client %d has seen %+v as number %d, and client 0 %q", r.name, i, m, at+1, r.clients[0].log[at].data)
			}
		}
	}
	r.checkOrder(t)
}

// crowd are clients that publish and follow until they are told to end.
type crowd struct {
	rooms []*crowdedRoom
	// pause of each client after a message: all of them publish some hundred a second, however many they are.
	pause        time.Duration
	acked, again atomic.Int64
	stop         context.CancelFunc
	publishing   sync.WaitGroup
	following    sync.WaitGroup
	leave        context.CancelFunc
}

type crowdedRoom struct {
	name    string
	clients []*member
}

func newCrowd(t *testing.T, g *group, rooms int) *crowd {
	c := &crowd{pause: max(100*time.Millisecond, time.Duration(rooms*clientsOfRoom)*3*time.Millisecond)}
	publishing, stop := context.WithCancel(context.Background())
	following, leave := context.WithCancel(context.Background())
	c.stop, c.leave = stop, leave
	http := contracttest.NewHTTP(t)
	t.Cleanup(func() {
		c.stop()
		c.leave()
		c.publishing.Wait()
		c.following.Wait()
	})
	for i := range rooms {
		r := &crowdedRoom{name: fmt.Sprintf("room-%d", i)}
		for n := range clientsOfRoom {
			m := &member{group: g, room: r.name, number: n, http: http, crowd: c}
			r.clients = append(r.clients, m)
			c.publishing.Go(func() { m.publish(publishing) })
			c.following.Go(func() { m.follow(following) })
		}
		c.rooms = append(c.rooms, r)
	}
	return c
}

// slowest is how long a message took at most until it was acknowledged.
func (c *crowd) slowest() (most time.Duration) {
	for _, r := range c.rooms {
		for _, m := range r.clients {
			most = max(most, m.slowest)
		}
	}
	return most
}

// more waits until n more messages are acknowledged.
func (c *crowd) more(t *testing.T, n int) {
	t.Helper()
	want := c.acked.Load() + int64(n)
	contracttest.Eventually(t, fmt.Sprintf("%d more messages", n), func() bool { return c.acked.Load() >= want })
}

// end has all publishers finish what they began, and then all followers see it.
func (c *crowd) end() {
	c.stop()
	c.publishing.Wait()
	for _, r := range c.rooms {
		last := uint64(0)
		for _, m := range r.clients {
			last = max(last, m.last)
		}
		for _, m := range r.clients {
			m.until.Store(last)
		}
	}
	c.following.Wait()
}
