package postgres

import (
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// settings with what is worked out of them once.
type settings struct {
	jobs.Settings
	// sinks[i] wants events of kinds[i].
	sinks, kinds []string
}

var allEvents = []string{
	pub.EventAccepted, pub.EventStarted, pub.EventProgress, pub.EventSucceeded, pub.EventFailed, pub.EventDead,
}

func compile(s jobs.Settings) *settings {
	out := &settings{Settings: s}
	for name, kinds := range s.Sinks {
		if kinds == nil {
			kinds = allEvents
		}
		for _, kind := range kinds {
			out.sinks, out.kinds = append(out.sinks, name), append(out.kinds, kind)
		}
	}
	return out
}
