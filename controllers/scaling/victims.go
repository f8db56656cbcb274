package scaling

import (
	"cmp"
	"math"
	"slices"
)

// Fewest names the n pods that bear least, which are to be stopped first; those that do not serve
// go before all others.
func Fewest(pods []Pod, n int32) []string {
	sorted := slices.Clone(pods)
	slices.SortFunc(sorted, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(weight(a), weight(b)), cmp.Compare(a.Name, b.Name))
	})
	var names []string
	for _, p := range sorted[:min(max(int(n), 0), len(sorted))] {
		names = append(names, p.Name)
	}
	return names
}

// weight of a pod whose load is not known is the most: it may bear anything.
func weight(p Pod) float64 {
	switch {
	case !p.Ready:
		return -1
	case p.Load == nil:
		return math.Inf(1)
	default:
		return *p.Load
	}
}
