package member

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/wire"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// keeper is a container that has data by partition, or does what a test has it do.
type keeper struct {
	mu   sync.Mutex
	data map[string]string
	// odd answers in its place where it is set.
	odd func(http.ResponseWriter, *http.Request) bool
}

// ServeHTTP implements http.Handler.
func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if k.odd != nil && k.odd(w, r) {
		return
	}
	switch r.Method {
	case http.MethodGet:
		k.mu.Lock()
		data, ok := k.data[r.URL.Path]
		k.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = io.WriteString(w, data)
	case http.MethodPut:
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		k.mu.Lock()
		k.data[r.URL.Path] = string(data)
		k.mu.Unlock()
	case http.MethodDelete:
		k.mu.Lock()
		delete(k.data, r.URL.Path)
		k.mu.Unlock()
	}
}

func (k *keeper) has(path string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.data[path]
}

// pair is two shards of which partition 0 is on its way from a to b.
func pair(t *testing.T, from, to *keeper) (a, b *shard, order wire.Order) {
	t.Helper()
	store := &table.Memory{}
	write(t, store, 6, 1, []int{0, 1}, ring.Move{Partition: 0, From: "a", To: "b"})
	a, b = startShard(t, "a", store, from), startShard(t, "b", store, to)
	a.learned(6)
	b.learned(6)
	return a, b, wire.Order{Epoch: 6, Term: 1, From: strings.TrimPrefix(a.url, "http://"), Milliseconds: patience.Milliseconds()}
}

func TestCarriesAPartitionOver(t *testing.T) {
	for name, data := range map[string]string{"a little": "x", "a lot": strings.Repeat("0123456789", 1<<19)} {
		t.Run(name, func(t *testing.T) {
			from, to := &keeper{data: map[string]string{"/hook/0": data}}, &keeper{data: map[string]string{"/hook/0": "old"}}
			_, b, order := pair(t, from, to)
			status, text := b.order(0, wire.Import, order)
			var got wire.Copied
			if err := json.Unmarshal([]byte(text), &got); err != nil || status != http.StatusOK || got.Bytes != int64(len(data)) || len(got.SHA256) != 64 {
				t.Fatalf("%d %s, %v", status, text, err)
			}
			if to.has("/hook/0") != data {
				t.Error("the data is another one")
			}
			if status, text := b.order(0, wire.Import, order); status != http.StatusOK || to.has("/hook/0") != data {
				t.Errorf("once more: %d %s", status, text)
			}
		})
	}
}

func TestAPartitionWithoutDataLeavesNothingOfBefore(t *testing.T) {
	from, to := &keeper{data: map[string]string{}}, &keeper{data: map[string]string{"/hook/0": "old"}}
	_, b, order := pair(t, from, to)
	if status, text := b.order(0, wire.Import, order); status != http.StatusOK || to.has("/hook/0") != "" {
		t.Errorf("%d %s, and there is %q", status, text, to.has("/hook/0"))
	}
}

func TestForgetsWhatIsAnothers(t *testing.T) {
	store := &table.Memory{}
	write(t, store, 7, 1, []int{1, 1})
	from := &keeper{data: map[string]string{"/hook/0": "x"}}
	a := startShard(t, "a", store, from)
	a.learned(7)
	if status, text := a.order(0, wire.Drop, wire.Order{Epoch: 7, Term: 1}); status != http.StatusNoContent || from.has("/hook/0") != "" {
		t.Errorf("%d %s", status, text)
	}
}

// TestContainersThatDoNotDoTheirPart fail the import by what they did, and what there was is as it was.
func TestContainersThatDoNotDoTheirPart(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	}
	on := func(method string, f func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool { return r.Method == method && f(w, r) }
	}
	answer := func(status int, text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
			return true
		}
	}
	const export, load = "GET /hook/0 to the container of a: ", "PUT /hook/0 to the container of b: "
	for name, c := range map[string]struct {
		from, to func(http.ResponseWriter, *http.Request) bool
		// in is how long it has, in milliseconds; size of the data is more than what the sockets between them hold.
		in   int64
		size int
		says string
	}{
		"the export hangs":        {from: hang, in: 3000, says: export + "it did not answer"},
		"the export fails":        {from: answer(500, "disk full"), says: export + `it answered 500: \"disk full\"`},
		"the export is not there": {from: answer(404, "what?"), says: export + "it answered 404"},
		"the export has no body":  {from: answer(200, ""), says: export + "it answered 200 without a body"},
		"the export dies at once": {from: func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, says: export + "it did not answer"},
		"the export is short": {from: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "12345")
			return true
		}, says: export + "it broke off after 5 of 10 bytes"},
		"the export dies on the way": {from: func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, strings.Repeat("x", 100))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, says: export + "it broke off after 100 bytes"},
		"the export hangs on the way": {from: func(w http.ResponseWriter, r *http.Request) bool {
			_, _ = io.WriteString(w, "12345")
			_ = http.NewResponseController(w).Flush()
			return hang(w, r)
		}, in: 3000, says: export + "it broke off after 5 bytes"},
		"the import fails":         {to: on(http.MethodPut, answer(507, "no room")), says: load + `it answered 507: \"no room\"`},
		"the import does not read": {to: on(http.MethodPut, answer(200, "")), says: load + "it answered 200 before it had read all"},
		"the import dies":          {to: on(http.MethodPut, func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }), says: load + "it did not answer"},
		"the import takes nothing": {to: on(http.MethodPut, hang), in: 3000, size: 64 << 20, says: load + "it "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := strings.Repeat("data", max(c.size, 4<<20)/4)
			from, to := &keeper{data: map[string]string{"/hook/0": data}}, &keeper{data: map[string]string{"/hook/0": "old"}}
			for k, f := range map[*keeper]func(http.ResponseWriter, *http.Request) bool{from: c.from, to: c.to} {
				if f != nil {
					// A server does not end the context of a request whose body it has not read.
					k.odd = func(w http.ResponseWriter, r *http.Request) bool { return f(w, r.WithContext(t.Context())) }
				}
			}
			_, b, order := pair(t, from, to)
			if c.in > 0 {
				order.Milliseconds = c.in
			}
			status, text := b.order(0, wire.Import, order)
			if status != http.StatusBadGateway || !strings.Contains(text, c.says) {
				t.Errorf("%d %s; want 502 that says %s", status, text, c.says)
			}
			if from.has("/hook/0") != data || to.has("/hook/0") != "old" {
				t.Error("what there was changed")
			}
		})
	}
}

// TestAnImportThatIsNotAnsweredIsSaidInTime, and the partition stays taken until it is.
func TestAnImportThatIsNotAnsweredIsSaidInTime(t *testing.T) {
	leave := make(chan struct{})
	from := &keeper{data: map[string]string{"/hook/0": "x"}}
	to := &keeper{data: map[string]string{}, odd: func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			_, _ = io.Copy(io.Discard, r.Body)
			<-leave
			return true
		}
		return false
	}}
	_, b, order := pair(t, from, to)
	order.Milliseconds = 300
	if status, text := b.order(0, wire.Import, order); status != http.StatusGatewayTimeout || !strings.Contains(text, "the container of b has all of partition 0") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := b.order(0, wire.Import, order); status != http.StatusGatewayTimeout || !strings.Contains(text, "something else was done") {
		t.Errorf("once more: %d %s", status, text)
	}
	close(leave)
	order.Milliseconds = patience.Milliseconds()
	if status, text := b.order(0, wire.Import, order); status != http.StatusOK {
		t.Errorf("at last: %d %s", status, text)
	}
}

// TestAnExportThatLies about its size or sum is not loaded.
func TestAnExportThatLies(t *testing.T) {
	for name, c := range map[string]struct {
		trailers map[string]string
		says     string
	}{
		"no end":       {says: `has 4 bytes here and \"\" there`},
		"another size": {trailers: map[string]string{wire.TrailerBytes: "5"}, says: `has 4 bytes here and \"5\" there`},
		"another sum":  {trailers: map[string]string{wire.TrailerBytes: "4", wire.TrailerSHA256: "00"}, says: "has the SHA-256"},
		"a failure":    {trailers: map[string]string{wire.TrailerFailure: "the disk is on fire"}, says: "the disk is on fire"},
	} {
		t.Run(name, func(t *testing.T) {
			store := &table.Memory{}
			write(t, store, 6, 1, []int{0, 1}, ring.Move{Partition: 0, From: "a", To: "b"})
			to := &keeper{data: map[string]string{"/hook/0": "old"}}
			b := startShard(t, "b", store, to)
			b.learned(6)
			b.member.others = answers(func(r *http.Request) *http.Response {
				resp := &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(bytes.NewReader([]byte("data"))), Trailer: http.Header{}}
				for k, v := range c.trailers {
					resp.Trailer.Set(k, v)
				}
				return resp
			})
			status, text := b.order(0, wire.Import, wire.Order{Epoch: 6, Term: 1, From: "127.0.0.1:1"})
			if status != http.StatusBadGateway || !strings.Contains(text, c.says) || to.has("/hook/0") != "old" {
				t.Errorf("%d %s, and there is %q; want one that says %s", status, text, to.has("/hook/0"), c.says)
			}
		})
	}
}

type answers func(*http.Request) *http.Response

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

func TestAnOlderImportIsNotFollowed(t *testing.T) {
	from, to := &keeper{data: map[string]string{"/hook/0": "x"}}, &keeper{data: map[string]string{}}
	_, b, order := pair(t, from, to)
	if status, text := b.order(0, wire.Import, order); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	order.Epoch = 5
	if status, text := b.order(0, wire.Import, order); status != http.StatusConflict || !strings.Contains(text, "epoch "+strconv.Itoa(6)) {
		t.Errorf("%d %s", status, text)
	}
}

// TestAnExportThatNobodyReads ends with the time that it was given: the partition may be its former owner's again.
func TestAnExportThatNobodyReads(t *testing.T) {
	began := make(chan struct{})
	endless := &keeper{odd: func(w http.ResponseWriter, _ *http.Request) bool {
		close(began)
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
				return true
			}
		}
	}}
	a, _, _ := pair(t, endless, &keeper{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET "+wire.Path(0, wire.Export)+"?epoch=6&term=1&milliseconds=500 HTTP/1.1\r\nHost: a\r\n"+planeconfig.HeaderMemberToken+": token\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !a.member.own.until(ctx, func() bool { return !a.member.own.hooked(0) }) {
		t.Error("the partition is never free again")
	}
}
