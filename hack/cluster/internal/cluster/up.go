package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/trellis-dev/trellis/hack/cluster/internal/build"
	"github.com/trellis-dev/trellis/hack/cluster/internal/images"
	"github.com/trellis-dev/trellis/hack/cluster/internal/layout"
	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
	"github.com/trellis-dev/trellis/hack/cluster/internal/pki"
	"github.com/trellis-dev/trellis/hack/cluster/internal/units"
	"github.com/trellis-dev/trellis/hack/cluster/internal/wholefile"
)

// Request says what Up shall bring up.
type Request struct {
	// Nodes is how many there shall be; 0 means those that there are, or one.
	Nodes     int
	Artefacts []build.Artefact
	Images    []images.Image
	// Cache stays visible to the members, for the executables in it.
	Cache string
}

// Up boots the cluster, or what of it does not run. A cluster that runs already is left as it is.
func (c *Cluster) Up(ctx context.Context, q Request) error {
	lock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	r, err := c.reconcileRecord(ctx, q)
	if err != nil {
		return err
	}
	nodes, err := netplan.Nodes(r.Nodes)
	if err != nil {
		return err
	}
	b := &boot{Cluster: c, request: q, record: r, nodes: nodes, began: time.Now()}
	if err := b.run(ctx); err != nil {
		return fmt.Errorf("booting the cluster %s: %w\n%s", c.Name, err, b.explain())
	}
	return nil
}

// reconcileRecord compares what is asked for with what there is. What an earlier boot left half done is cleared away.
func (c *Cluster) reconcileRecord(ctx context.Context, q Request) (record, error) {
	if q.Nodes != 0 {
		if _, err := netplan.Nodes(q.Nodes); err != nil {
			return record{}, err
		}
	}
	r, err := c.load()
	fresh := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !fresh:
		return r, err
	case fresh || !r.Booted:
		if _, err := os.Stat(c.Root()); err == nil {
			c.Progress.Say("an earlier boot of the cluster %s broke off; clearing it away", c.Name)
		}
		if err := c.clear(ctx); err != nil {
			return r, err
		}
		return record{Nodes: max(q.Nodes, 1)}, nil
	case q.Nodes != 0 && q.Nodes < r.Nodes:
		return r, fmt.Errorf("the cluster %s has %d nodes already: to have %d, take it down first", c.Name, r.Nodes, q.Nodes)
	}
	r.Nodes = max(q.Nodes, r.Nodes)
	return r, nil
}

// boot is one call of Up under way.
type boot struct {
	*Cluster
	request Request
	record  record
	nodes   []netplan.Node
	began   time.Time
	// missing are the members that this boot has to start.
	missing map[string]bool
}

func (b *boot) run(ctx context.Context) error {
	if err := b.findMissing(ctx); err != nil {
		return err
	}
	if len(b.missing) > 0 {
		b.Progress.Say("booting the cluster %s: %d node(s)", b.Name, len(b.nodes))
		if err := b.prepare(); err != nil {
			return err
		}
		if err := b.startMembers(ctx); err != nil {
			return err
		}
	}
	if err := b.becomeReady(ctx); err != nil {
		return err
	}
	if len(b.missing) == 0 {
		b.Progress.Say("the cluster %s was running already", b.Name)
	}
	b.record.Booted = true
	return b.store(b.record)
}

// findMissing looks which members do not run. Nodes hang on the control plane's bridge: without that they are ended,
// to be started again behind it.
func (b *boot) findMissing(ctx context.Context) error {
	b.missing = map[string]bool{}
	_, controlRuns := b.identity(layout.ControlName)
	for _, name := range memberNames(b.nodes) {
		id, runs := b.identity(name)
		if runs && controlRuns {
			continue
		}
		if err := id.Kill(ctx); err != nil {
			return fmt.Errorf("ending %s, which lost its control plane: %w", name, err)
		}
		b.missing[name] = true
	}
	return nil
}

// prepare writes all files that members need.
func (b *boot) prepare() error {
	for _, dir := range []string{b.Root(), b.Logs()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the cluster's folders: %w", err)
		}
	}
	if err := b.store(b.record); err != nil {
		return err
	}
	if err := b.installExecutables(); err != nil {
		return err
	}
	if err := pki.Ensure(b.PKI(), b.nodes); err != nil {
		return err
	}
	// There is no resolver beyond the cluster; this one address answers at once that it has nothing to say.
	if err := wholefile.Write(b.ResolvConf(), []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
		return err
	}
	if err := b.writeKubeconfigs(layout.ControlName, units.ControlUsers()); err != nil {
		return err
	}
	for _, n := range b.nodes {
		if err := b.writeKubeconfigs(n.Name, units.NodeUsers(n.Name)); err != nil {
			return err
		}
		if err := units.WriteNodeConfig(b.Cluster.Cluster, n); err != nil {
			return err
		}
	}
	return nil
}

func (b *boot) writeKubeconfigs(name string, users []string) error {
	m := b.Member(name)
	if err := os.MkdirAll(m.Volumes(), 0o755); err != nil {
		return fmt.Errorf("making the folder of %s: %w", name, err)
	}
	for _, user := range users {
		server := "https://" + netplan.APIAddress()
		if err := pki.WriteKubeconfig(m.Kubeconfig(user), b.PKI(), user, b.Name, server); err != nil {
			return err
		}
	}
	return nil
}

// installExecutables links what was built, and copies this program, whose file may vanish when `go run` ends.
func (b *boot) installExecutables() error {
	if err := build.LinkAll(b.request.Artefacts, b.Bin()); err != nil {
		return err
	}
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("reading this program: %w", err)
	}
	return wholefile.Write(b.Executable("trellis-cluster"), data, 0o755)
}
