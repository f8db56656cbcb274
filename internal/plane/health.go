package plane

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// engineGrace is how long a plane that has reached its engine once stays ready
// without it. All replicas lose a shared engine at the same moment: taking them
// all out of the Service would turn a short restart of the engine, which a
// client sees as a 503 that says when to come back, into refused connections,
// and would win nothing, as no replica is better off. What goes on for longer
// is shown, and takes out a replica that alone cannot reach the engine.
const engineGrace = 60 * time.Second

// Health is what /livez and /readyz report.
type Health struct {
	now func() time.Time

	mu       sync.Mutex
	engine   string
	reached  bool
	lastOK   time.Time
	problem  string
	draining bool
}

// NewHealth starts not ready: the engine has not been reached yet.
func NewHealth(engine string, now func() time.Time) *Health {
	return &Health{engine: engine, now: now, problem: "not reached yet"}
}

// EngineOK says that the engine just answered.
func (h *Health) EngineOK() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reached, h.lastOK, h.problem = true, h.now(), ""
}

// EngineFailed says that the engine just failed to answer.
func (h *Health) EngineFailed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.problem = err.Error()
}

// Drain makes the plane not ready for good.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// Readiness is the body of /readyz.
type Readiness struct {
	Ready  bool   `json:"ready"`
	Engine string `json:"engine"`
	Reason string `json:"reason,omitempty"`
}

// Ready reports whether new clients should be sent here.
func (h *Health) Ready() Readiness {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := Readiness{Ready: true, Engine: h.engine}
	switch {
	case h.draining:
		out.Ready, out.Reason = false, "draining: this replica is about to stop"
	case !h.reached:
		out.Ready, out.Reason = false, "engine: "+h.problem
	case h.problem != "" && h.now().Sub(h.lastOK) > engineGrace:
		out.Ready, out.Reason = false, "engine not reached for more than "+engineGrace.String()+": "+h.problem
	case h.problem != "":
		out.Reason = "engine not reached just now: " + h.problem
	}
	return out
}

func (h *Health) livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

func (h *Health) readyz(w http.ResponseWriter, _ *http.Request) {
	state := h.Ready()
	w.Header().Set("Content-Type", "application/json")
	if !state.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(state)
}
