package overload

import (
	"cmp"
	"math"
	"slices"
)

// MemberStats are of one member, as this router sees it.
type MemberStats struct {
	Member string `json:"member" doc:"The member's ID."`
	// Limit is how many requests the member is found to serve at once.
	Limit    int `json:"limit" doc:"How many requests this router has the member serve at once; it adapts."`
	InFlight int `json:"inFlight" doc:"Requests that the member serves for this router now."`
	Queued   int `json:"queued" doc:"Requests that wait here for the member."`
	// Rate of requests that end, per second, over some seconds.
	Rate float64 `json:"rate" doc:"Requests per second that ended, over the last seconds."`
	// Shed since the router began, by the name of the class.
	Shed map[string]uint64 `json:"shed" doc:"Requests that were not sent to the member, by their class, since this router started."`
}

// Stats of every member that had a request, by their IDs in order.
func (a *Adaptive) Stats() []MemberStats {
	a.mu.RLock()
	gates := make([]*gate, 0, len(a.gates))
	for _, g := range a.gates {
		gates = append(gates, g)
	}
	a.mu.RUnlock()
	out := make([]MemberStats, len(gates))
	for i, g := range gates {
		out[i] = g.stats()
	}
	slices.SortFunc(out, func(a, b MemberStats) int { return cmp.Compare(a.Member, b.Member) })
	return out
}

func (g *gate) stats() MemberStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := MemberStats{
		Member: g.member, Limit: g.adaptive.room(), InFlight: g.inFlight, Queued: g.queued,
		Rate: math.Round(10*g.pace.per(g.clock.Now())) / 10, Shed: make(map[string]uint64, len(g.shed)),
	}
	for class, n := range g.shed {
		out.Shed[g.settings.classes[class]] = n
	}
	return out
}
