package runner

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// health is what /readyz says: a runner that has lost its queue, or whose container does not answer, is not ready and all the
// same alive, as a restart would mend neither.
type health struct {
	mu        sync.Mutex
	queueSaid string
	container string
	draining  bool
}

func newHealth() *health { return &health{queueSaid: "not reached yet"} }

func (h *health) queue(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queueSaid = ""
	if err != nil {
		h.queueSaid = err.Error()
	}
}

// missing notes why the container cannot take a job, "" where it can.
func (h *health) missing(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.container = why
}

func (h *health) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// readiness is the body of /readyz.
type readiness struct {
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`
}

func (h *health) ready() readiness {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.draining:
		return readiness{Reason: "draining: this worker is about to stop"}
	case h.container != "":
		return readiness{Reason: "container: " + h.container}
	case h.queueSaid != "":
		return readiness{Reason: "queue: " + h.queueSaid}
	}
	return readiness{Ready: true}
}

func adminHandler(h *health, m *metrics) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		state := h.ready()
		w.Header().Set("Content-Type", "application/json")
		if !state.Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(state)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}
