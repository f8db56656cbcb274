//go:build integration

package laws

import (
	"bufio"
	"encoding/json"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

// deliver hands on the events of a watch, one line each. It returns when lines is closed, or
// earlier to cut the stream.
type deliver func(lines <-chan []byte, out io.Writer) error

// onWatches puts a delivery into every watch; nil leaves one as it is. A response is given instead
// of the watch where it is not nil.
func onWatches(choose func(*http.Request) (deliver, *http.Response)) transport {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if !framework.IsWatch(r) {
				return next.RoundTrip(r)
			}
			d, instead := choose(r)
			if instead != nil {
				return instead, nil
			}
			resp, err := next.RoundTrip(r)
			if err == nil && resp.StatusCode == http.StatusOK && d != nil {
				resp.Body = redeliver(resp.Body, d)
			}
			return resp, err
		})
	}
}

// redeliver reads a watch as it comes. Both goroutines end when the reader closes the body.
func redeliver(body io.ReadCloser, d deliver) io.ReadCloser {
	out, in := io.Pipe()
	lines := make(chan []byte, 4096)
	go func() {
		defer close(lines)
		for r := bufio.NewReader(body); ; {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			lines <- line
		}
	}()
	go func() {
		// Any end but this would be told as an error.
		_ = d(lines, in)
		_ = in.CloseWithError(io.EOF)
		for range lines {
			// What comes after a cut is lost.
			continue
		}
	}()
	return struct {
		io.Reader
		io.Closer
	}{out, closers{body, out}}
}

type closers []io.Closer

// Close implements io.Closer.
func (c closers) Close() error {
	for _, closer := range c {
		_ = closer.Close()
	}
	return nil
}

const (
	// mostDelay of an event.
	mostDelay = 400 * time.Millisecond
	// cutsOfAKind bounds how often the watches of a kind are cut. After each cut the cache waits
	// longer before it asks again, 0.8 s at first and up to a minute: that is the client library's
	// patience and none of the operator's.
	cutsOfAKind = 2
)

// badWatches makes every watch late and lossy: events are delayed and come in batches, of which only
// the last of an object is told; streams are cut, and what was said meanwhile is expired, so that
// the cache lists anew and never learns of what was in between. What happens to the i-th event of
// the j-th watch of a kind is drawn from the seed.
func badWatches(seed uint64) transport {
	var mu sync.Mutex
	streams, cuts, expired := map[string]int{}, map[string]int{}, map[string]bool{}
	return onWatches(func(r *http.Request) (deliver, *http.Response) {
		mu.Lock()
		defer mu.Unlock()
		kind := path.Base(r.URL.Path)
		if expired[kind] && !r.URL.Query().Has("sendInitialEvents") {
			delete(expired, kind)
			return nil, answer(r, metav1.Status{Code: http.StatusGone, Reason: metav1.StatusReasonExpired})
		}
		streams[kind]++
		sum := fnv.New64()
		_, _ = io.WriteString(sum, kind)
		random := rand.New(rand.NewPCG(seed, sum.Sum64()+uint64(streams[kind])))
		mayCut := func() bool {
			mu.Lock()
			defer mu.Unlock()
			if cuts[kind] >= cutsOfAKind || random.IntN(8) != 0 {
				return false
			}
			cuts[kind]++
			expired[kind] = random.IntN(2) == 0
			return true
		}
		return func(lines <-chan []byte, out io.Writer) error {
			for line := range lines {
				if random.IntN(2) == 0 {
					<-time.After(time.Duration(random.Int64N(int64(mostDelay))))
				}
				if mayCut() {
					return nil
				}
				for _, event := range merge(append([][]byte{line}, waiting(lines)...)) {
					if _, err := out.Write(event); err != nil {
						return err
					}
				}
			}
			return nil
		}, nil
	})
}

// waiting are the lines that are there already.
func waiting(lines <-chan []byte) [][]byte {
	var out [][]byte
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return out
			}
			out = append(out, line)
		default:
			return out
		}
	}
}

// event is what the tests read of a watch's line.
type event struct {
	Type   string
	Object struct{ Metadata struct{ UID, Name string } }
}

func eventOf(line []byte) event {
	var e event
	_ = json.Unmarshal(line, &e)
	return e
}

// merge leaves out every change of an object that another one follows.
func merge(lines [][]byte) [][]byte {
	var out [][]byte
	for i, line := range lines {
		e := eventOf(line)
		superseded := e.Type == "MODIFIED" && slices.ContainsFunc(lines[i+1:], func(later []byte) bool {
			l := eventOf(later)
			return l.Type == "MODIFIED" && l.Object.Metadata.UID == e.Object.Metadata.UID
		})
		if !superseded {
			out = append(out, line)
		}
	}
	return out
}

// lag makes the cache of chosen kinds, named as in URLs, show what was some time ago, while on is set.
// No kind means all of them.
func lag(by time.Duration, on *atomic.Bool, kinds ...string) transport {
	return onWatches(func(r *http.Request) (deliver, *http.Response) {
		if len(kinds) > 0 && !slices.Contains(kinds, path.Base(r.URL.Path)) {
			return nil, nil
		}
		return func(lines <-chan []byte, out io.Writer) error {
			for line := range lines {
				if on.Load() {
					<-time.After(by)
				}
				for _, l := range append([][]byte{line}, waiting(lines)...) {
					if _, err := out.Write(l); err != nil {
						return err
					}
				}
			}
			return nil
		}, nil
	})
}

// drip makes the cache of chosen kinds, named as in URLs, learn of one event after the other, each some time after
// the one before, while on is set: it shows every state that there was.
func drip(by time.Duration, on *atomic.Bool, kinds ...string) transport {
	return onWatches(func(r *http.Request) (deliver, *http.Response) {
		if !slices.Contains(kinds, path.Base(r.URL.Path)) {
			return nil, nil
		}
		return func(lines <-chan []byte, out io.Writer) error {
			for line := range lines {
				if on.Load() {
					<-time.After(by)
				}
				if _, err := out.Write(line); err != nil {
					return err
				}
			}
			return nil
		}, nil
	})
}

// deaf drops chosen events for good, as no API server would.
func deaf(chosen func(kind string, e event) bool) transport {
	return onWatches(func(r *http.Request) (deliver, *http.Response) {
		return func(lines <-chan []byte, out io.Writer) error {
			for line := range lines {
				if chosen(path.Base(r.URL.Path), eventOf(line)) {
					continue
				}
				if _, err := out.Write(line); err != nil {
					return err
				}
			}
			return nil
		}, nil
	})
}
