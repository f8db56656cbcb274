package operator

import (
	"net/http"
	"strings"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// Calls of an operator to the API server, by what they are. Watches are none,
// nor are discovery and the leader's lease; Events are counted apart.
type Calls struct{ Writes, Gets, Lists, Events int64 }

func (c Calls) minus(before Calls) Calls {
	return Calls{c.Writes - before.Writes, c.Gets - before.Gets, c.Lists - before.Lists, c.Events - before.Events}
}

// counter counts the calls that pass it.
type counter struct {
	next                        http.RoundTripper
	infos                       request.RequestInfoFactory
	writes, gets, lists, events *atomic.Int64
}

func newCounter() *counter {
	return &counter{
		infos:  request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")},
		writes: &atomic.Int64{}, gets: &atomic.Int64{}, lists: &atomic.Int64{}, events: &atomic.Int64{},
	}
}

// wrap is for rest.Config.
func (c *counter) wrap(next http.RoundTripper) http.RoundTripper {
	out := *c
	out.next = next
	return &out
}

func (c *counter) calls() Calls {
	return Calls{c.writes.Load(), c.gets.Load(), c.lists.Load(), c.events.Load()}
}

// RoundTrip implements http.RoundTripper.
func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	info, err := c.infos.NewRequestInfo(r)
	switch {
	case err != nil || !info.IsResourceRequest:
	case info.Resource == "events":
		c.events.Add(1)
	case info.Verb == "get":
		c.gets.Add(1)
	case info.Verb == "list":
		c.lists.Add(1)
	case strings.HasPrefix(info.Verb, "watch"):
	default:
		c.writes.Add(1)
	}
	return c.next.RoundTrip(r)
}
