package realtime

import "time"

// SetHeartbeat shortens the heartbeat for tests; it is to be called before Run.
func (g *Gateway) SetHeartbeat(d time.Duration) { g.heartbeat = d }
