package overload

import (
	"time"

	"github.com/trellis-dev/trellis/test/bench/harness"
	"github.com/trellis-dev/trellis/test/bench/overload/load"
)

func figures(phases []load.Phase, sent []load.Sent) harness.Figures {
	out := harness.Figures{
		"goodput": goodput(phases[burst], sent[burst]), "goodput at 1 ×": goodput(phases[full], sent[full]),
		"goodput after": goodput(phases[after], sent[after]), "goodput before": goodput(phases[calm], sent[calm]),
		"recovery": recovery(sent[after]).Seconds(),
	}
	for phase, suffix := range map[int]string{calm: " before", full: " at 1 ×", burst: "", after: " after"} {
		out["gold p50"+suffix] = milliseconds(sent[phase].Classes[0].P50)
		out["gold p99"+suffix] = milliseconds(sent[phase].Classes[0].P99)
	}
	above := 100.0
	for i, class := range load.Classes {
		c := sent[burst].Classes[i]
		answered := 100 * float64(c.Good) / float64(max(c.Sent, 1))
		out[class+" answered"], out[class+" shed"], out[class+" not answered"] = answered, float64(c.Shed), 100-answered
		out[class+" refused after, p50"] = milliseconds(c.Refused)
		out["failed"] += float64(c.Failed)
		if answered > above {
			out["out of order"]++
		}
		above = answered
	}
	return out
}

func goodput(p load.Phase, s load.Sent) float64 {
	good := 0
	for _, n := range s.Good {
		good += n
	}
	return float64(good) / p.For.Seconds()
}

// recovery is how long it took from the beginning of s until for a second all were answered but one in a hundred, or all
// of its time.
func recovery(s load.Sent) time.Duration {
	const second = int(time.Second / load.Step)
	for from := 0; from+second <= len(s.Due); from++ {
		good, due := 0, 0
		for i := from; i < from+second; i++ {
			good, due = good+s.Good[i], due+s.Due[i]
		}
		if good*100 >= due*99 && s.Good[from]*100 >= s.Due[from]*99 {
			return time.Duration(from) * load.Step
		}
	}
	return time.Duration(len(s.Due)) * load.Step
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
