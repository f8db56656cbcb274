package scaling

import "math"

// tolerance is how far the load may be from what is aimed at before anything is done.
const tolerance = 0.1

// Pod is one replica as it is seen. Pods that are being stopped are none.
type Pod struct {
	Name string
	// Ready is true when it serves.
	Ready bool
	// Load of the pod; nil where it could not be read.
	Load *float64
}

// Load is what is to be served now.
type Load struct {
	// Pods with their shares of it.
	Pods []Pod
	// Total, where the load is one for all replicas, such as a backlog; nil otherwise. It may ask for
	// no replica at all.
	Total *float64
}

// wanted is the number of replicas at which each bears perReplica of the load; false when too
// little is known to tell.
func wanted(current int32, perReplica int64, load Load) (int32, bool) {
	per := float64(perReplica)
	if load.Total != nil {
		return ofTotal(current, per, *load.Total), true
	}
	sum, known, missing, unready := 0.0, 0, 0, 0
	for _, p := range load.Pods {
		switch {
		case !p.Ready:
			unready++
		case p.Load == nil:
			missing++
		default:
			sum += *p.Load
			known++
		}
	}
	if known == 0 {
		return 0, false
	}
	ratio := sum / float64(known) / per
	if missing == 0 && (unready == 0 || ratio <= 1) {
		if within(ratio) {
			return current, true
		}
		return ceil(sum / per), true
	}
	return cautious(current, per, ratio, sum, known, missing, unready), true
}

// cautious fills in what is not known so that less is done: those that are missing bear what is
// aimed at when there would be fewer, and nothing, like those that start, when there would be more.
// Where that turns the decision round, nothing is done.
func cautious(current int32, per, ratio, sum float64, known, missing, unready int) int32 {
	count := known + missing
	if ratio < 1 {
		sum += float64(missing) * per
	} else {
		count += unready
	}
	guess := sum / float64(count) / per
	if within(guess) || (ratio < 1) != (guess < 1) {
		return current
	}
	n := ceil(sum / per)
	if (guess < 1 && n > current) || (guess > 1 && n < current) {
		return current
	}
	return n
}

func ofTotal(current int32, per, total float64) int32 {
	if current > 0 && within(total/(per*float64(current))) {
		return current
	}
	return ceil(total / per)
}

func within(ratio float64) bool { return math.Abs(ratio-1) <= tolerance }

// ceil leaves out what only the sum of fractions adds.
func ceil(n float64) int32 { return int32(min(math.Ceil(n-1e-6), math.MaxInt32)) }
