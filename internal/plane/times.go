package plane

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// requestTimes are the histograms of requests that were looked up by their
// labels once. There are few, as methods, routes and statuses are.
type requestTimes struct {
	known atomic.Pointer[map[requestLabels]prometheus.Observer]
	mu    sync.Mutex
}

type requestLabels struct {
	method, route string
	status        int
}

func (m *Metrics) timesOf(method, route string, status int) prometheus.Observer {
	labels := requestLabels{method, route, status}
	if known := m.times.known.Load(); known != nil {
		if o, ok := (*known)[labels]; ok {
			return o
		}
	}
	o := m.requests.WithLabelValues(method, route, strconv.Itoa(status))
	m.times.mu.Lock()
	defer m.times.mu.Unlock()
	next := map[requestLabels]prometheus.Observer{labels: o}
	if known := m.times.known.Load(); known != nil {
		maps.Copy(next, *known)
	}
	m.times.known.Store(&next)
	return o
}
