package overload

import (
	"cmp"
	"slices"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// onlyClass is the name of the class where none is configured.
	onlyClass = "default"

	defaultLeast   = 4
	defaultMost    = 1000
	defaultQueue   = 100
	defaultPatient = time.Second
	defaultHot     = 20
)

// settings of an Overload, with what it left out.
type settings struct {
	least, most int
	// queue is how many may wait for a member, and patience for how long.
	queue    int
	patience time.Duration
	// classes from the most to the least important; there is one at least.
	classes []string
	// hot is the share from which a partition is called so, as in 0.2.
	hot float64
}

func settingsOf(o planeconfig.ShardOverload) settings {
	s := settings{
		least: cmp.Or(o.MinConcurrency, defaultLeast), most: cmp.Or(o.MaxConcurrency, defaultMost),
		queue: max(0, cmp.Or(o.Queue, defaultQueue)), patience: cmp.Or(time.Duration(o.QueueTimeout), defaultPatient),
		classes: slices.Clone(o.Classes), hot: float64(cmp.Or(o.HotPartition, defaultHot)) / 100,
	}
	s.most = max(s.most, s.least)
	if len(s.classes) == 0 {
		s.classes = []string{onlyClass}
	}
	return s
}

// class is the nearest one that there is: a configuration may have lost some since the request was told its own.
func (s settings) class(n int) int { return min(max(n, 0), len(s.classes)-1) }
