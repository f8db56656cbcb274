package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// TalkParams are those of rooms in each of which one client publishes, one message after the other, and one follows.
type TalkParams struct {
	// Addresses of the replicas that clients are connected to; they are spread over them.
	Addresses []string
	Token     string
	Rooms     int
	// Every is the time between two messages of a room.
	Every time.Duration
}

// Silence is what became of a room.
type Silence struct {
	// Acked messages; Lost are those of them that never came, Doubled those that came again, and Astray those after a later one.
	Acked, Lost, Doubled, Astray int
	// Longest time between two messages that came.
	Longest time.Duration
	// Again counts how often a message was sent again.
	Again int
}

// talkTimeout bounds a publication, however often it is sent.
const talkTimeout = 30 * time.Second

// talk of all rooms.
type talk struct {
	TalkParams
	http *http.Client
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu    sync.Mutex
	rooms []talking
}

// talking is a room. The numbers of its messages begin with 1.
type talking struct {
	Silence
	came map[int]bool
	high int
	last time.Time
}

// Talk begins: it follows all rooms, then publishes in them.
func (c *Clients) Talk(ctx context.Context, p TalkParams) error {
	t := &talk{TalkParams: p, rooms: make([]talking, p.Rooms), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: p.Rooms}}}
	for i := range t.rooms {
		t.rooms[i].came = map[int]bool{}
	}
	c.talk, c.read = t, t.heard
	// The followers are of one room each: a range of rooms at each replica.
	for i, address := range p.Addresses {
		for room := i; room < p.Rooms; room += len(p.Addresses) {
			if err := c.openRoom(ctx, FollowParams{Protocol: ContractWebSocket, Token: p.Token}, address, 0, room); err != nil {
				return fmt.Errorf("follow room %d: %w", room, err)
			}
		}
	}
	talking, stop := context.WithCancel(context.Background())
	t.stop = stop
	for room := range p.Rooms {
		t.wg.Go(func() { t.publish(talking, room) })
	}
	return nil
}

// number of a message holds its room, so that it can be told by its mark.
func number(room, n int) time.Duration { return time.Duration(room)<<32 | time.Duration(n) }

func (t *talk) heard(mark time.Duration) {
	room, n := int(mark>>32), int(mark&(1<<32-1))
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if room >= len(t.rooms) {
		return
	}
	r := &t.rooms[room]
	if r.came[n] {
		r.Doubled++
		return
	}
	if r.came[n] = true; n < r.high {
		r.Astray++
	}
	if r.high = max(r.high, n); !r.last.IsZero() {
		r.Longest = max(r.Longest, now.Sub(r.last))
	}
	r.last = now
}

// publish at a steady pace; what is not acknowledged is sent again under its key until it is.
func (t *talk) publish(ctx context.Context, room int) {
	address := t.Addresses[(room+1)%len(t.Addresses)]
	timer := time.NewTimer(t.Every * time.Duration(room) / time.Duration(t.Rooms))
	defer timer.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(t.Every)
		again, err := t.say(address, room, n)
		t.mu.Lock()
		t.rooms[room].Again += again
		if err == nil {
			t.rooms[room].Acked++
		}
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (t *talk) say(address string, room, n int) (again int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), talkTimeout)
	defer cancel()
	for ; ; again++ {
		err := t.sayOnce(ctx, address, room, n)
		if err == nil {
			return again, nil
		}
		select {
		case <-ctx.Done():
			return again, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (t *talk) sayOnce(ctx context.Context, address string, room, n int) error {
	body := fmt.Appendf(nil, `{"data":%s}`, payload(nil, 64, number(room, n)))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/rooms/"+roomName(room)+"/messages", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+t.Token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", fmt.Sprintf("%d-%d", room, n))
	resp, err := t.http.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("answered %s", resp.Status)
	}
	return err
}

// Heard counts the rooms in which a message came since.
func (c *Clients) Heard(since time.Time) int {
	c.talk.mu.Lock()
	defer c.talk.mu.Unlock()
	n := 0
	for i := range c.talk.rooms {
		if c.talk.rooms[i].last.After(since) {
			n++
		}
	}
	return n
}

// Hush ends the publishing, and tells what became of each room once all has come, or should have.
func (c *Clients) Hush(ctx context.Context) []Silence {
	t := c.talk
	t.stop()
	t.wg.Wait()
	for deadline := time.Now().Add(drainTimeout); t.left() > 0 && time.Now().Before(deadline) && ctx.Err() == nil; {
		time.Sleep(time.Millisecond)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Silence
	for i := range t.rooms {
		r := t.rooms[i].Silence
		r.Lost = t.rooms[i].missing()
		out = append(out, r)
	}
	return out
}

func (t *talk) left() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.rooms {
		n += t.rooms[i].missing()
	}
	return n
}

// missing are acknowledged messages that have not come. They are the first ones, as each was waited for.
func (r *talking) missing() (n int) {
	for i := 1; i <= r.Acked; i++ {
		if !r.came[i] {
			n++
		}
	}
	return n
}
