package harness

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
)

// Result is a part that was run.
type Result struct {
	Part    Part
	Rows    []Row
	Runs    int
	Machine Machine
	At      time.Time
	Took    time.Duration
}

// Failed lists the counts that are not what they have to be.
func (r Result) Failed() []Row {
	var out []Row
	for _, row := range r.Rows {
		if row.Fails() {
			out = append(out, row)
		}
	}
	return out
}

var columns = []string{"case", "measure", "ours", "peer", "ratio", "goal", ""}

func (r Row) cells() []string {
	ratio := ""
	// To nothing, nothing is in a ratio.
	if len(r.Peer) > 0 && r.Peer.Median() != 0 {
		ratio = fmt.Sprintf("%.2f", r.Ratio())
	}
	return []string{r.Case, strings.TrimSuffix(r.Measure+", "+r.Unit, ", "), r.Ours.String(), r.Peer.String(), ratio, r.Goal.String(), string(r.Verdict())}
}

// Print writes the result as a table for a terminal.
func (r Result) Print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintf(tw, "\n%s (%d runs each, %s)\n%s\n", r.Part.Title, r.Runs, r.Took.Round(time.Second), strings.Join(columns, "\t"))
	for _, row := range r.Rows {
		_, _ = fmt.Fprintln(tw, strings.Join(row.cells(), "\t"))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}

// Markdown is the section of the page.
func (r Result) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s\n\n", r.Part.Title, r.Part.About)
	fmt.Fprintf(&b, "*%s, %s; median of %d runs a side (least–most); took %s; load of the machine before and after: %s.*\n\n",
		r.At.UTC().Format("2006-01-02 15:04 MST"), r.Machine.String(), r.Runs, r.Took.Round(time.Second), r.Machine.Load)
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row.cells(), " | "))
	}
	for _, why := range r.misses() {
		fmt.Fprintf(&b, "\n%s\n", why)
	}
	return b.String()
}

// misses says of each missed goal what it comes from; one reason once.
func (r Result) misses() []string {
	var out []string
	cases := map[string][]string{}
	for _, row := range r.Rows {
		if row.Verdict() != Missed {
			continue
		}
		if _, known := cases[row.Why]; !known {
			out = append(out, row.Why)
		}
		cases[row.Why] = append(cases[row.Why], row.Case+" ("+row.Measure+")")
	}
	for i, why := range out {
		text := why
		if text == "" {
			text = "the reason has not been found yet."
		}
		out[i] = "**Missed:** " + strings.Join(cases[why], "; ") + ": " + text
	}
	return out
}

// Update puts the result's section into the page at path, in the place of the
// one before; sections of other parts stay. The page has a place for each part.
func (r Result) Update(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the page of results: %w", err)
	}
	begin, end := "<!-- bench:"+r.Part.Name+" -->", "<!-- /bench:"+r.Part.Name+" -->"
	place := regexp.MustCompile("(?s)" + regexp.QuoteMeta(begin) + ".*" + regexp.QuoteMeta(end))
	if !place.Match(page) {
		return fmt.Errorf("%s has no place for part %s: add the lines %s and %s", path, r.Part.Name, begin, end)
	}
	section := begin + "\n" + r.Markdown() + end
	if err := os.WriteFile(path, place.ReplaceAllLiteral(page, []byte(section)), 0o644); err != nil { //nolint:gosec // a page of the documentation
		return fmt.Errorf("write the page of results: %w", err)
	}
	return nil
}
