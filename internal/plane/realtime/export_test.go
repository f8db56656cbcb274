package realtime

import "time"

// SetHeartbeat shortens the heartbeat for tests; it is to be called before Run.
func (g *Gateway) SetHeartbeat(d time.Duration) { g.heartbeat = d }

// SetEngineTimeouts changes how long a connection to an engine and a call of it may take, before any is made.
func SetEngineTimeouts(d time.Duration) {
	engineConnectTimeout, engineIOTimeout, ownerPatience = d, d, d
}
