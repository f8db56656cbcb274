package realtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
)

// member is a client of a crowd: it publishes numbers, each until it is acknowledged, and follows its room.
type member struct {
	group  *group
	crowd  *crowd
	room   string
	number int
	http   *http.Client
	// sent is how many messages were acknowledged, and last the highest offset among theirs.
	sent int
	last uint64
	// slowest is how long a message took at most until it was acknowledged.
	slowest time.Duration
	// until is the offset after which it need not follow any more; 0 while that is not known.
	until atomic.Uint64

	mu       sync.Mutex
	log      []entryOfLog
	position string
	fault    string
}

type entryOfLog struct {
	offset uint64
	data   string
}

func (m *member) seen() []entryOfLog {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log
}

// publish goes on until ctx ends, and brings the last message to its end too.
func (m *member) publish(ctx context.Context) {
	for ctx.Err() == nil {
		m.publishOne()
		select {
		case <-ctx.Done():
		case <-time.After(m.crowd.pause):
		}
	}
}

func (m *member) publishOne() {
	data, began := fmt.Sprintf(`"%d:%d"`, m.number, m.sent), time.Now()
	for try := m.number; ; try++ {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		status, _, body, err := contracttest.Request{
			Method: http.MethodPost, URL: m.group.url(try) + "/v1/rooms/" + m.room + "/messages", Token: contracttest.BindingToken,
			Body: []byte(`{"data":` + data + `}`), Headers: []string{"Idempotency-Key", data},
		}.Send(ctx, m.http)
		cancel()
		var answer struct{ Offset uint64 }
		if err == nil && status == http.StatusCreated && json.Unmarshal(body, &answer) == nil {
			m.sent++
			m.last = max(m.last, answer.Offset)
			m.slowest = max(m.slowest, time.Since(began))
			m.crowd.acked.Add(1)
			return
		}
		m.crowd.again.Add(1)
	}
}

// follow connects again, to another plane, for as long as it has not seen all.
func (m *member) follow(ctx context.Context) {
	for try := m.number; ctx.Err() == nil && !m.done(); try++ {
		m.followOnce(ctx, m.group.url(try))
	}
}

func (m *member) done() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	until := m.until.Load()
	return m.fault != "" || until > 0 && len(m.log) > 0 && m.log[len(m.log)-1].offset >= until
}

func (m *member) followOnce(ctx context.Context, url string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ws, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(url, "http")+"/v1/ws", &websocket.DialOptions{
		HTTPClient: m.http, HTTPHeader: http.Header{"Authorization": {"Bearer " + contracttest.BindingToken}},
	})
	if err != nil {
		if resp != nil && resp.Body != nil {
			_ = resp.Body.Close()
		}
		return
	}
	defer func() { _ = ws.CloseNow() }()
	since := m.position
	if since == "" {
		since = "oldest"
	}
	if err := ws.Write(ctx, websocket.MessageText, []byte(`{"type":"subscribe","room":"`+m.room+`","since":"`+since+`"}`)); err != nil {
		return
	}
	for !m.done() {
		// A plane that is stopped says nothing; others may.
		read, end := context.WithTimeout(ctx, 10*time.Second)
		_, data, err := ws.Read(read)
		end()
		if err != nil || !m.take(data) {
			return
		}
	}
}

// take notes a frame, and reports false where the connection is of no use any more.
func (m *member) take(data []byte) bool {
	var f struct {
		Type, Room, Position string
		Offset               uint64
		Data                 json.RawMessage
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch f.Type {
	case "message":
		if n := len(m.log); n > 0 && f.Offset != m.log[n-1].offset+1 || n == 0 && f.Offset != 1 {
			m.fault = fmt.Sprintf("after %d messages comes %s", n, data)
		}
		m.log = append(m.log, entryOfLog{f.Offset, string(f.Data)})
		m.position = f.Position
	case "gap":
		m.fault = string(data)
	case "error":
		return false
	}
	return true
}

// checkOrder says whose messages are missing in what was seen, come twice, or are out of order, and who was told of a gap.
func (r *crowdedRoom) checkOrder(t *testing.T) {
	t.Helper()
	next := make([]int, len(r.clients))
	for _, e := range r.clients[0].seen() {
		var number, n int
		if _, err := fmt.Sscanf(e.data, `"%d:%d"`, &number, &n); err != nil || n != next[number] {
			t.Errorf("room %s: at %d is %s, and %d of client %d was to come", r.name, e.offset, e.data, next[number], number)
			return
		}
		next[number]++
	}
	for i, m := range r.clients {
		if m.fault != "" {
			t.Errorf("room %s: client %d saw a fault: %s", r.name, i, m.fault)
		}
		if next[i] != m.sent {
			t.Errorf("room %s: %d messages of client %d, which had %d acknowledged", r.name, next[i], i, m.sent)
		}
	}
}
