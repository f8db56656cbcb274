package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

const partitionCount = 2

// before a container is a server that knows the partition of a key, as a router does.
func before(t *testing.T, container string) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: container})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set(planeconfig.HeaderPartition, strconv.Itoa(ring.PartitionOf(r.Header.Get(KeyHeader), partitionCount)))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func ask(t *testing.T, method, url string, epoch int, body io.Reader) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if epoch > 0 {
		req.Header.Set(planeconfig.HeaderEpoch, strconv.Itoa(epoch))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s, %v", method, url, resp.Status, err)
	}
	return data
}

// Each acknowledged increment is in the counters, which go where their partition does.
func TestCountersGoWithTheirPartition(t *testing.T) {
	t.Parallel()
	containers := &Containers{}
	defer containers.close()
	got, err := containers.Listen(t.Context(), ListenParams{Containers: 2})
	if err != nil {
		t.Fatal(err)
	}
	addresses := got.([]string)
	if _, err := containers.Fill(t.Context(), FillParams{Sizes: []map[int]int{{0: 1000, 1: 1000}, {}}}); err != nil {
		t.Fatal(err)
	}
	clients := begin(t, before(t, addresses[0]))
	defer clients.close()
	contracttest.Eventually(t, "some answers", func() bool { return look(t, clients).Answers > 20 })
	if counted := look(t, clients); counted.Failed+counted.Wrong != 0 || len(counted.Longest) != partitionCount {
		t.Fatalf("counted %+v", counted)
	}
	at, err := clients.End(t.Context(), struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range at.([]At) {
		if a.Shard != "0" || a.Value != a.Want {
			t.Errorf("a key is not as it has to be: %+v", a)
		}
	}
	for n := range partitionCount {
		data := ask(t, http.MethodGet, fmt.Sprintf("http://%s/partitions/%d", addresses[0], n), 7, nil)
		ask(t, http.MethodPut, fmt.Sprintf("http://%s/partitions/%d", addresses[1], n), 7, bytes.NewReader(data))
	}
	carried, err := containers.Carried(t.Context(), struct{}{})
	if err != nil || len(carried.([]Carried)) != partitionCount {
		t.Fatalf("carried %v, %v", carried, err)
	}
	// The clients ask the other one now.
	clients.params.Routers = []string{before(t, addresses[1])}
	if at, err = clients.End(t.Context(), struct{}{}); err != nil {
		t.Fatal(err)
	}
	for _, a := range at.([]At) {
		if a.Shard != "1" || a.Value != a.Want {
			t.Errorf("after it moved, a key is not as it has to be: %+v", a)
		}
	}
}

// What a container forgot is seen as an increment that is gone, and a partition that is nowhere as a failure.
func TestWhatIsLostIsSeen(t *testing.T) {
	t.Parallel()
	containers := &Containers{}
	defer containers.close()
	got, err := containers.Listen(t.Context(), ListenParams{Containers: 1})
	if err != nil {
		t.Fatal(err)
	}
	address := got.([]string)[0]
	sizes := FillParams{Sizes: []map[int]int{{0: 10}}}
	if _, err := containers.Fill(t.Context(), sizes); err != nil {
		t.Fatal(err)
	}
	clients := begin(t, before(t, address))
	defer clients.close()
	contracttest.Eventually(t, "failures of the partition that is nowhere", func() bool {
		counted := look(t, clients)
		return counted.Answers > 5 && counted.Failed > 5
	})
	ask(t, http.MethodPut, "http://"+address+"/partitions/0", 7, bytes.NewReader([]byte("{}\nx")))
	contracttest.Eventually(t, "wrong answers", func() bool { return look(t, clients).Wrong > 0 })
}

func begin(t *testing.T, router string) *Clients {
	t.Helper()
	clients := &Clients{}
	params := CountParams{Routers: []string{router}, Partitions: partitionCount, KeysOfEach: 4, Clients: 4, PerSecond: 500}
	if _, err := clients.Begin(context.WithoutCancel(t.Context()), params); err != nil {
		t.Fatal(err)
	}
	return clients
}

func look(t *testing.T, c *Clients) Counted {
	t.Helper()
	got, err := c.Look(t.Context(), struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	return got.(Counted)
}

func TestKeysAreOfTheirPartitions(t *testing.T) {
	t.Parallel()
	for n, keys := range keysOf(8, 3) {
		for _, key := range keys {
			if ring.PartitionOf(key, 8) != n {
				t.Errorf("%s is not of partition %d", key, n)
			}
		}
		if len(keys) != 3 {
			t.Errorf("%d keys of partition %d", len(keys), n)
		}
	}
}
