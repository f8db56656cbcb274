package cluster

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/trellis-dev/trellis/hack/cluster/internal/member"
	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
	"github.com/trellis-dev/trellis/hack/cluster/internal/process"
)

// Status describes the cluster for a person. It fails with ErrNotRunning when there is none, or not all of it.
func (c *Cluster) Status(ctx context.Context) (string, error) {
	r, err := c.requireRunning()
	if err != nil {
		return "", err
	}
	nodes, err := netplan.Nodes(r.Nodes)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "cluster %s: API at https://127.0.0.1:%d, kubeconfig %s\n", c.Name, r.APIPort, c.Kubeconfig())
	client, err := c.client()
	if err != nil {
		return "", err
	}
	problem := apiReady(ctx, client)
	if problem == nil {
		problem = nodesReady(ctx, client, r.Nodes)
	}
	if problem != nil {
		fmt.Fprintf(&out, "not healthy: %v\n", problem)
	}
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MEMBER\tPID\tPROCESSES\tMEMORY MB\tCPU SECONDS\tUNITS")
	for _, name := range memberNames(nodes) {
		c.describeMember(w, name)
	}
	w.Flush()
	for _, f := range r.Forwards {
		fmt.Fprintf(&out, "forward %s -> %s\n", f.Listen, f.Target)
	}
	if problem != nil {
		return out.String(), fmt.Errorf("the cluster %s is not healthy: %w", c.Name, problem)
	}
	return out.String(), nil
}

func (c *Cluster) describeMember(w *tabwriter.Writer, name string) {
	id, _ := c.identity(name)
	use, err := process.UseOfNamespace(id.PID)
	if err != nil {
		fmt.Fprintf(w, "%s\t%d\t?\t?\t?\t%v\n", name, id.PID, err)
		return
	}
	units := "does not answer"
	if answer, err := member.Status(c.Member(name).Socket()); err == nil {
		units = describeUnits(answer.Units)
	}
	fmt.Fprintf(w, "%s\t%d\t%d\t%.0f\t%.1f\t%s\n", name, id.PID, use.Processes, float64(use.Memory)/1e6, use.CPU.Seconds(), units)
}

func describeUnits(all []member.UnitStatus) string {
	var words []string
	for _, u := range all {
		word := u.Name
		if !u.Running {
			word += " (down: " + u.LastExit + ")"
		} else if u.Restarts > 0 {
			word += fmt.Sprintf(" (%d restarts, last %s)", u.Restarts, u.LastExit)
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}
