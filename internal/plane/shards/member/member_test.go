package member

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is far longer than anything takes, so that a machine that stalls fails no test.
const patience = 60 * time.Second

// shard is a member that serves, in front of a container that a test makes.
type shard struct {
	t      *testing.T
	member *Member
	url    string
	// container is where the member's container serves.
	container *httptest.Server
}

// startShard with a container; the partitions of the table are 2, both a's at first.
func startShard(t *testing.T, id string, store table.Store, container http.Handler, change ...func(*Options)) *shard {
	t.Helper()
	behind := httptest.NewUnstartedServer(container)
	behind.Config.Protocols = new(http.Protocols)
	behind.Config.Protocols.SetHTTP1(true)
	behind.Config.Protocols.SetUnencryptedHTTP2(true)
	behind.Start()
	at, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{
		Config: planeconfig.Config{Kind: "ShardSet", Shards: &planeconfig.Shards{
			Container:  planeconfig.ShardContainer{DrainTimeout: planeconfig.Duration(patience)},
			Resharding: planeconfig.ShardResharding{Mode: modeHook, ExportPath: "/hook/{partition}", ImportPath: "/hook/{partition}"},
		}},
		Store: store, ID: id, Container: at, Token: func() string { return "token" }, Settle: time.Nanosecond,
		Admits: func(r *http.Request) bool {
			return r.Header.Get(planeconfig.HeaderMemberToken) == "token" || r.Header.Get("Authorization") == "Bearer binding"
		},
	}
	for _, f := range change {
		f(&opts)
	}
	m, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(m)
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = m.Run(ctx) })
	t.Cleanup(func() {
		front.CloseClientConnections()
		behind.CloseClientConnections()
		cancel()
		run.Wait()
		front.Close()
		behind.Close()
	})
	return &shard{t: t, member: m, url: front.URL, container: behind}
}

// write a table of two members with the owners and moves; a partition is a's where its owner is 0.
func write(t *testing.T, store *table.Memory, epoch, term uint64, owners []int, moves ...ring.Move) {
	t.Helper()
	s, v, err := store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Table = ring.Table{Epoch: epoch, Partitions: len(owners), Members: []ring.Member{{ID: "a"}, {ID: "b"}}, Owners: owners, Moves: moves}
	s.Target, s.Term = s.Table, term
	if _, err := store.Write(t.Context(), s, v); err != nil {
		t.Fatal(err)
	}
}

// request a shard's container, as a router does.
func (s *shard) request(method, path, body string, headers ...string) (int, http.Header, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set(planeconfig.HeaderMemberToken, "token")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return resp.StatusCode, resp.Header, string(text)
}

func (s *shard) order(p int, verb string, order wire.Order) (int, string) {
	s.t.Helper()
	data, err := json.Marshal(order)
	if err != nil {
		s.t.Fatal(err)
	}
	status, _, text := s.request(http.MethodPost, wire.Path(p, verb), string(data))
	return status, text
}

// learned waits until the member has a table of the epoch.
func (s *shard) learned(epoch uint64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if !s.member.own.until(ctx, func() bool { return s.member.own.settled && s.member.own.state.Table.Epoch >= epoch }) {
		s.t.Fatalf("the member never learned of epoch %d", epoch)
	}
}

var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var out bytes.Buffer
	_ = r.Header.WriteSubset(&out, map[string]bool{"User-Agent": true, "Accept-Encoding": true, "Content-Length": true})
	w.Header().Set(planeconfig.HeaderNotProcessed, "true")
	_, _ = io.WriteString(w, r.Method+" "+r.URL.RequestURI()+" "+string(body)+"\n"+strings.ReplaceAll(out.String(), "\r", ""))
})

func TestPassesOnWhatItServes(t *testing.T) {
	store := &table.Memory{}
	write(t, store, 5, 1, []int{0, 1})
	s := startShard(t, "a", store, echo)
	s.learned(5)
	status, header, text := s.request(http.MethodPut, "/x%2Fy?z=1", "body", planeconfig.HeaderPartition, "0", planeconfig.HeaderEpoch, "4", "Authorization", "Bearer user", "X-Forwarded-For", "1.2.3.4")
	want := "PUT /x%2Fy?z=1 body\nAuthorization: Bearer user\nTrellis-Epoch: 5\nTrellis-Partition: 0\nX-Forwarded-For: 1.2.3.4\n"
	if status != http.StatusOK || text != want {
		t.Errorf("%d, the container got:\n%s\nwant:\n%s", status, text, want)
	}
	if header.Get(planeconfig.HeaderEpoch) != "5" || header.Get(planeconfig.HeaderPartition) != "0" || header.Get(planeconfig.HeaderNotProcessed) != "" {
		t.Errorf("the answer has %v", header)
	}
	// Who routes by itself shows the binding's token, which the container does not see.
	_, _, text = s.request(http.MethodGet, "/", "", planeconfig.HeaderMemberToken, "", "Authorization", "Bearer binding", planeconfig.HeaderPartition, "0")
	if strings.Contains(text, "binding") {
		t.Errorf("the container got the binding's token: %s", text)
	}
}

func TestRefuses(t *testing.T) {
	store := &table.Memory{}
	write(t, store, 5, 3, []int{0, 1, 0, 0}, ring.Move{Partition: 2, From: "a", To: "b"}, ring.Move{Partition: 3, From: "a", To: "b"})
	s := startShard(t, "a", store, echo)
	s.learned(5)
	withBinding := []string{planeconfig.HeaderMemberToken, "", "Authorization", "Bearer binding"}
	order := func(epoch, term string) string {
		return `{"epoch":` + epoch + `,"term":` + term + `,"milliseconds":50}`
	}
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		says               string
	}{
		"no token":                           {path: "/", headers: []string{planeconfig.HeaderMemberToken, "other"}, status: http.StatusUnauthorized, says: "binding"},
		"no partition":                       {path: "/", status: http.StatusBadRequest, says: planeconfig.HeaderPartition},
		"an epoch that is none":              {path: "/", headers: []string{planeconfig.HeaderPartition, "0", planeconfig.HeaderEpoch, "x"}, status: http.StatusBadRequest, says: planeconfig.HeaderEpoch},
		"another's partition":                {path: "/", headers: []string{planeconfig.HeaderPartition, "1"}, status: http.StatusMisdirectedRequest, says: "not processed"},
		"a moving partition":                 {path: "/", headers: []string{planeconfig.HeaderPartition, "2", planeconfig.HeaderEpoch, "5"}, status: http.StatusMisdirectedRequest, says: "epoch 5"},
		"no such partition":                  {path: "/", headers: []string{planeconfig.HeaderPartition, "99"}, status: http.StatusMisdirectedRequest, says: "99"},
		"no path of its own":                 {path: "/.trellis/v1/x", status: http.StatusNotFound, says: "partitions"},
		"a client's order":                   {method: http.MethodPost, path: wire.Path(2, wire.Import), body: order("5", "9"), headers: withBinding, status: http.StatusForbidden, says: "ask the routers"},
		"a client's question":                {path: wire.Partitions, headers: withBinding, status: http.StatusForbidden, says: "ask the routers"},
		"no partition to drop":               {method: http.MethodPost, path: wire.Path(99, wire.Drop), body: order("5", "3"), status: http.StatusNotFound, says: "partitions"},
		"a strange verb":                     {method: http.MethodPost, path: wire.Path(1, "sell"), body: order("5", "3"), status: http.StatusNotFound, says: "sell"},
		"a GET":                              {method: http.MethodGet, path: wire.Path(1, wire.Drop), status: http.StatusMethodNotAllowed, says: "POST"},
		"no order":                           {method: http.MethodPost, path: wire.Path(1, wire.Drop), body: "x", status: http.StatusBadRequest, says: "JSON"},
		"an export of nothing":               {method: http.MethodGet, path: wire.Path(1, wire.Export) + "?epoch=5&term=x", status: http.StatusBadRequest, says: "numbers"},
		"an older mover":                     {method: http.MethodPost, path: wire.Path(2, wire.Fence), body: order("5", "2"), status: http.StatusConflict, says: "term 3"},
		"a fence of what it serves":          {method: http.MethodPost, path: wire.Path(0, wire.Fence), body: order("5", "3"), status: http.StatusConflict, says: "newer table"},
		"a fence of a table that it has not": {method: http.MethodPost, path: wire.Path(2, wire.Fence), body: order("6", "3"), status: http.StatusGatewayTimeout, says: "epoch 6"},
		"a drop of what it serves":           {method: http.MethodPost, path: wire.Path(0, wire.Drop), body: order("5", "3"), status: http.StatusConflict, says: "owns"},
		"a drop of what leaves it":           {method: http.MethodPost, path: wire.Path(2, wire.Drop), body: order("5", "3"), status: http.StatusConflict, says: "owns"},
		"an import of what it serves":        {method: http.MethodPost, path: wire.Path(0, wire.Import), body: order("5", "3"), status: http.StatusConflict, says: "not on its way to it"},
		"an import of what leaves it":        {method: http.MethodPost, path: wire.Path(3, wire.Import), body: order("5", "3"), status: http.StatusConflict, says: "not on its way to it"},
		"an export of what it serves":        {method: http.MethodGet, path: wire.Path(0, wire.Export) + "?epoch=5&term=3", status: http.StatusConflict, says: "newer table"},
		"an export of another's":             {method: http.MethodGet, path: wire.Path(1, wire.Export) + "?epoch=5&term=3", status: http.StatusConflict, says: "not on its way from it"},
	} {
		t.Run(name, func(t *testing.T) {
			method := c.method
			if method == "" {
				method = http.MethodGet
			}
			status, header, text := s.request(method, c.path, c.body, c.headers...)
			if status != c.status || !strings.Contains(text, c.says) {
				t.Errorf("answered %d %s; want %d that says %q", status, text, c.status, c.says)
			}
			if own := header.Get(planeconfig.HeaderEpoch); status == http.StatusMisdirectedRequest && (own != "5" || header.Get(planeconfig.HeaderNotProcessed) != "true") {
				t.Errorf("a misdirected request is answered with %v", header)
			}
		})
	}
}

func TestWaitsForTheTableThatItsSenderHas(t *testing.T) {
	store := &table.Memory{}
	write(t, store, 5, 1, []int{1, 1})
	s := startShard(t, "a", store, echo)
	s.learned(5)
	answered := make(chan int, 1)
	go func() {
		status, _, _ := s.request(http.MethodGet, "/", "", planeconfig.HeaderPartition, "0", planeconfig.HeaderEpoch, "6")
		answered <- status
	}()
	write(t, store, 6, 1, []int{0, 1})
	if status := <-answered; status != http.StatusOK {
		t.Errorf("answered %d", status)
	}
	// An older table teaches nothing, and neither does a lost one.
	s.member.own.learn(table.State{})
	s.member.own.learn(table.State{Table: ring.Table{Epoch: 5, Partitions: 2, Members: []ring.Member{{ID: "b"}}, Owners: []int{0, 0}}})
	if status, _, text := s.request(http.MethodGet, "/", "", planeconfig.HeaderPartition, "0"); status != http.StatusOK {
		t.Errorf("answered %d: %s", status, text)
	}
}

func TestServesNothingBeforeATableIsKnown(t *testing.T) {
	store := &table.Memory{}
	s := startShard(t, "a", store, echo)
	if status, _, _ := s.request(http.MethodGet, "/", "", planeconfig.HeaderPartition, "0"); status != http.StatusMisdirectedRequest {
		t.Errorf("answered %d", status)
	}
	if err := s.member.look(t.Context()); err == nil || !strings.Contains(err.Error(), "table") {
		t.Errorf("it is ready: %v", err)
	}
	write(t, store, 1, 1, []int{0, 0})
	s.learned(1)
	if err := s.member.look(t.Context()); err != nil {
		t.Errorf("it is not ready: %v", err)
	}
}

// TestAFenceWaitsForWhatIsUnderWay, even where its client has gone; nothing is begun meanwhile.
func TestAFenceWaitsForWhatIsUnderWay(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	store := &table.Memory{}
	write(t, store, 5, 1, []int{0, 1})
	s := startShard(t, "a", store, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-leave
	}))
	s.learned(5)
	ctx, hangUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(planeconfig.HeaderMemberToken, "token")
	req.Header.Set(planeconfig.HeaderPartition, "0")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-entered
	hangUp()
	<-gone
	write(t, store, 6, 1, []int{0, 1}, ring.Move{Partition: 0, From: "a", To: "b"})
	s.learned(6)
	if status, text := s.order(0, wire.Fence, wire.Order{Epoch: 6, Term: 1, Milliseconds: 100}); status != http.StatusGatewayTimeout || !strings.Contains(text, "not ended 1 requests") {
		t.Errorf("a fence with a request under way: %d %s", status, text)
	}
	if status, _, _ := s.request(http.MethodGet, "/", "", planeconfig.HeaderPartition, "0"); status != http.StatusMisdirectedRequest {
		t.Errorf("while it is fenced off: %d", status)
	}
	close(leave)
	status, text := s.order(0, wire.Fence, wire.Order{Epoch: 6, Term: 1})
	var word wire.Word
	if err := json.Unmarshal([]byte(text), &word); err != nil || status != http.StatusOK || word.Member != "a" || word.Table.Epoch != 6 || len(word.Serving) != 0 {
		t.Errorf("the word is %d %s, %v", status, text, err)
	}
}

func TestGivesNoWordBeforeWhatWasBeforeHasSettled(t *testing.T) {
	store := &table.Memory{}
	write(t, store, 6, 1, []int{0, 1}, ring.Move{Partition: 0, From: "a", To: "b"})
	s := startShard(t, "a", store, echo)
	s.learned(6)
	s.member.own.mu.Lock()
	s.member.own.settled = false
	s.member.own.mu.Unlock()
	if status, text := s.order(0, wire.Fence, wire.Order{Epoch: 6, Term: 1}); status != http.StatusServiceUnavailable || !strings.Contains(text, "short while ago") {
		t.Errorf("%d %s", status, text)
	}
}

func TestTheContainerIsGone(t *testing.T) {
	store := &table.Memory{}
	write(t, store, 1, 1, []int{0, 0})
	s := startShard(t, "a", store, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	s.learned(1)
	status, header, text := s.request(http.MethodPost, "/", "", planeconfig.HeaderPartition, strconv.Itoa(0))
	if status != http.StatusBadGateway || header.Get(planeconfig.HeaderNotProcessed) != "" || !strings.Contains(text, "may have been processed") {
		t.Errorf("one that broke off: %d %v %s", status, header, text)
	}
	s.container.CloseClientConnections()
	s.container.Close()
	status, header, text = s.request(http.MethodPost, "/", "", planeconfig.HeaderPartition, "0")
	if status != http.StatusServiceUnavailable || header.Get(planeconfig.HeaderNotProcessed) != "true" || header.Get("Retry-After") == "" {
		t.Errorf("one that does not listen: %d %v %s", status, header, text)
	}
}

// TestServesAPartitionOnceWhatIsDoneToItIsOver: one that comes back while it is being forgotten is not served before.
func TestServesAPartitionOnceWhatIsDoneToItIsOver(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	store := &table.Memory{}
	write(t, store, 5, 1, []int{1, 1})
	s := startShard(t, "a", store, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			close(entered)
			<-leave
		}
	}))
	s.learned(5)
	forgotten, answered := make(chan int, 1), make(chan int, 1)
	go func() {
		status, _ := s.order(0, wire.Drop, wire.Order{Epoch: 5, Term: 1})
		forgotten <- status
	}()
	<-entered
	write(t, store, 6, 1, []int{0, 1})
	s.learned(6)
	if admitted, _, sure := s.member.own.tryAdmit(&turn{m: s.member}, 6); sure || admitted {
		t.Error("a request is let in while the partition is being forgotten")
	}
	go func() {
		status, _, _ := s.request(http.MethodGet, "/", "", planeconfig.HeaderPartition, "0", planeconfig.HeaderEpoch, "6")
		answered <- status
	}()
	close(leave)
	if a, b := <-forgotten, <-answered; a != http.StatusNoContent || b != http.StatusOK {
		t.Errorf("the drop was answered with %d, and the request with %d", a, b)
	}
}
