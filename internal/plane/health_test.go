package plane

import (
	"errors"
	"testing"
	"time"
)

func TestReadiness(t *testing.T) {
	c := &clock{at: time.Unix(1000, 0)}
	h := NewHealth("Redis", c.now)
	step := func(when string, want bool) {
		t.Helper()
		if got := h.Ready(); got.Ready != want || !got.Ready && got.Reason == "" {
			t.Errorf("%s: %+v, want ready %v", when, got, want)
		}
	}
	down := errors.New("connection refused")
	step("at start", false)
	h.EngineFailed(down)
	step("while the engine was never reached", false)
	c.at = c.at.Add(time.Hour)
	step("long after", false)
	h.EngineOK()
	step("once reached", true)
	h.EngineFailed(down)
	step("in an outage", true)
	c.at = c.at.Add(engineGrace)
	step("at the end of the grace", true)
	c.at = c.at.Add(time.Second)
	step("after the grace", false)
	h.EngineOK()
	step("when the engine is back", true)
	h.Drain()
	step("when draining", false)
	h.EngineOK()
	step("still draining", false)
}
