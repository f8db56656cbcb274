package build

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Table lists artefacts for a person: what, which version, how long it took to build, how large, and whether this
// run found it in the cache.
func Table(artefacts []Artefact) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "COMPONENT\tVERSION\tBUILD SECONDS\tMB\tCACHED")
	var seconds, megabytes float64
	for _, a := range artefacts {
		cached := "no"
		if a.Cached {
			cached = "yes"
		} else {
			seconds += a.Seconds
		}
		megabytes += float64(a.Size) / 1e6
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%.1f\t%s\n", a.Name, a.Version, a.Seconds, float64(a.Size)/1e6, cached)
	}
	fmt.Fprintf(w, "together\t\t%.1f (this run)\t%.1f\t\n", seconds, megabytes)
	w.Flush()
	return strings.TrimRight(out.String(), "\n")
}
