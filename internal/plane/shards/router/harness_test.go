package router

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/shards/overload"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const memberToken = "member-token-of-the-tests"

// partitions of the tables of tests.
const partitions = 16

// unlimited lets everything through.
type unlimited struct{}

func (unlimited) Admit(context.Context, string, int, int) (func(overload.Outcome), error) {
	return func(overload.Outcome) {}, nil
}

// where says where members are.
type where struct {
	mu sync.Mutex
	at map[string]string
}

func (w *where) Member(id string) (table.Member, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	address, ok := w.at[id]
	return table.Member{Address: address, Ready: true}, ok
}

func (w *where) set(id, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if address == "" {
		delete(w.at, id)
		return
	}
	w.at[id] = address
}

// cluster is a router with shards that are servers of the test.
type cluster struct {
	t     testing.TB
	store *table.Memory
	where *where
	state table.State
	// tables by epoch, as they were published.
	mu     sync.Mutex
	tables map[uint64]ring.Table
	strays []string

	router  *Router
	replica *contracttest.Replica
	client  *http.Client
}

// options of a cluster.
type options struct {
	shards int
	change func(*planeconfig.Config)
	// open bounds what is held open.
	open    int
	limiter overload.Limiter
	// handler of each shard, once a request was found to be its own.
	handler func(id string) http.Handler
}

func start(t testing.TB, o options) *cluster {
	t.Helper()
	c := &cluster{t: t, store: &table.Memory{}, where: &where{at: map[string]string{}}, tables: map[uint64]ring.Table{}}
	if o.shards == 0 {
		o.shards = 2
	}
	if o.handler == nil {
		o.handler = func(id string) http.Handler { return echo(id) }
	}
	empty, err := ring.New(partitions)
	if err != nil {
		t.Fatal(err)
	}
	var members []ring.Member
	for i := range o.shards {
		id := fmt.Sprintf("orders-shs-%d", i)
		members = append(members, ring.Member{ID: id})
		c.serve(id, o.handler(id))
	}
	c.state.Table = ring.Rebalance(empty, members)
	c.publish()

	tr := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, ExpectContinueTimeout: contracttest.Patience}
	c.client = &http.Client{Transport: tr, Timeout: contracttest.Patience}
	t.Cleanup(tr.CloseIdleConnections)
	dir := t.TempDir()
	contracttest.Write(t, filepath.Join(dir, "member"), memberToken+"\n")
	cfg := planeconfig.Config{
		Kind: "ShardSet", Name: "orders", Engine: planeconfig.Engine{Type: "Memory"},
		Shards: &planeconfig.Shards{
			RingConfigMap: "orders-shs-ring", MoverLease: "orders-shs-mover", ConfigMap: "orders-shs", MembersService: "orders-shs-members",
			Partitions: partitions, MemberTokenFile: filepath.Join(dir, "member"),
			Container:  planeconfig.ShardContainer{Port: 8000},
			Resharding: planeconfig.ShardResharding{Mode: "None"},
			Key:        planeconfig.ShardKey{Header: "X-Key"},
			Router:     planeconfig.ShardRouter{Authentication: "None", Retries: 2},
		},
	}
	if o.limiter == nil {
		o.limiter = unlimited{}
	}
	local := contracttest.NewLocal(t, dir, cfg, contracttest.Options{Configure: o.change}, func(p *plane.Plane) (plane.Service, error) {
		var err error
		c.router, err = New(p, Options{Store: c.store, Members: c.where, Limiter: o.limiter, Open: o.open})
		return c.router, err
	})
	c.replica = local.Start(t)
	contracttest.AwaitReady(t, c.replica)
	return c
}

// publish the state as it is now.
func (c *cluster) publish() {
	c.t.Helper()
	c.mu.Lock()
	c.tables[c.state.Table.Epoch] = c.state.Table.Clone()
	c.mu.Unlock()
	_, version, err := c.store.Read(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.store.Write(context.Background(), c.state, version); err != nil {
		c.t.Fatal(err)
	}
}

// pauses a partition, as the beginning of a move does.
func (c *cluster) pauses(p int, to string) {
	c.t.Helper()
	from, _ := c.state.Table.Owner(p)
	c.state.Table = c.state.Table.Clone()
	c.state.Table.Moves = append(c.state.Table.Moves, ring.Move{Partition: p, From: from.ID, To: to})
	c.state.Table.Epoch++
	c.publish()
}

// commits the move of a partition.
func (c *cluster) commits(p int) {
	c.t.Helper()
	next := c.state.Table.Clone()
	move, _ := next.Moving(p)
	var moves []ring.Move
	for _, m := range next.Moves {
		if m.Partition != p {
			moves = append(moves, m)
		}
	}
	for i, m := range next.Members {
		if m.ID == move.To {
			next.Owners[p] = i
		}
	}
	next.Moves = moves
	next.Epoch++
	c.state.Table = next
	c.publish()
}

// serve has a shard serve at an address of its own.
func (c *cluster) serve(id string, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(c.guard(id, h))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	c.t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	c.where.set(id, s.Listener.Addr().String())
	return s
}

// guard notes requests that a shard does not own by the very table that they were routed by.
func (c *cluster) guard(id string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := strconv.Atoi(r.Header.Get(planeconfig.HeaderPartition))
		epoch, errEpoch := strconv.ParseUint(r.Header.Get(planeconfig.HeaderEpoch), 10, 64)
		c.mu.Lock()
		routed := c.tables[epoch]
		owner, ok := routed.Serving(p)
		if err != nil || errEpoch != nil || !ok || owner.ID != id || r.Header.Get(planeconfig.HeaderMemberToken) != memberToken {
			c.strays = append(c.strays, fmt.Sprintf("%s got partition %d by epoch %d: %v", id, p, epoch, r.Header))
		}
		c.mu.Unlock()
		h.ServeHTTP(w, r)
	})
}

// noStrays fails where a request went to whom it did not belong.
func (c *cluster) noStrays() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.strays) > 0 {
		c.t.Errorf("%d requests went astray, such as %s", len(c.strays), c.strays[0])
	}
}

// echo tells what of a request arrived.
func echo(id string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Shard", id)
		w.Header().Set("Target", r.Method+" "+r.RequestURI)
		for name, values := range r.Header {
			w.Header()["Saw-"+name] = values
		}
		_, _ = w.Write(body)
	})
}

// keyOf a partition: one that its hash puts there.
func keyOf(partition int) string {
	for i := 0; ; i++ {
		if key := strconv.Itoa(i); ring.PartitionOf(key, partitions) == partition {
			return key
		}
	}
}

// ask sends a request with a key in X-Key, unless it is empty.
func (c *cluster) ask(method, path, key string, body io.Reader, headers ...string) (*http.Response, string) {
	c.t.Helper()
	resp, text, err := c.try(method, path, key, body, headers...)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, text
}

func (c *cluster) try(method, path, key string, body io.Reader, headers ...string) (*http.Response, string, error) {
	req, err := http.NewRequest(method, c.replica.URL+path, body)
	if err != nil {
		return nil, "", err
	}
	if key != "" {
		req.Header.Set("X-Key", key)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

// adaptive limits of a router.
func adaptive() overload.Limiter { return overload.New(overload.Options{Partitions: partitions}) }
