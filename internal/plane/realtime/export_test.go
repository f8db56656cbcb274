package realtime

import "time"

// SetHeartbeat shortens the heartbeat for tests; it is to be called before Run.
func (g *Gateway) SetHeartbeat(d time.Duration) { g.heartbeat = d }

// SetEngineIOTimeout changes how long a call of an engine may take, before any is made.
func SetEngineIOTimeout(d time.Duration) { engineIOTimeout = d }
