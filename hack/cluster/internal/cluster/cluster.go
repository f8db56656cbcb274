// Package cluster brings clusters up and down, and says how they are. It puts together what the other packages make:
// executables, images, keys, configuration, members and the wires between them.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/trellis-dev/trellis/hack/cluster/internal/filelock"
	"github.com/trellis-dev/trellis/hack/cluster/internal/layout"
	"github.com/trellis-dev/trellis/hack/cluster/internal/member"
	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
	"github.com/trellis-dev/trellis/hack/cluster/internal/process"
	"github.com/trellis-dev/trellis/hack/cluster/internal/progress"
	"github.com/trellis-dev/trellis/hack/cluster/internal/wholefile"
)

// Cluster is a cluster of this machine, which may or may not exist.
type Cluster struct {
	layout.Cluster
	Progress *progress.Printer
}

// ErrNotRunning says that there is no such cluster, or not all of it.
var ErrNotRunning = errors.New("not running")

// record is what is remembered of a cluster between calls of the tool.
type record struct {
	Nodes int `json:"nodes"`
	// APIPort is the loopback port of the host that leads to kube-apiserver.
	APIPort int `json:"apiPort"`
	// Booted is set when the cluster was ready for the first time. Without it, an earlier boot broke off half way.
	Booted   bool             `json:"booted"`
	Forwards []member.Forward `json:"forwards,omitempty"`
}

// load reads the record; without one it fails with fs.ErrNotExist.
func (c *Cluster) load() (record, error) {
	var r record
	err := readJSON(c.Record(), &r)
	if err != nil {
		return r, fmt.Errorf("reading the record of the cluster %s: %w", c.Name, err)
	}
	return r, nil
}

func (c *Cluster) store(r record) error {
	if err := writeJSON(c.Record(), r); err != nil {
		return fmt.Errorf("writing the record of the cluster %s: %w", c.Name, err)
	}
	return nil
}

// lock keeps other calls of the tool from changing the cluster meanwhile.
func (c *Cluster) lock(ctx context.Context) (*filelock.Lock, error) {
	if err := os.MkdirAll(c.Base, 0o755); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	lock, err := filelock.Try(c.Lock())
	if errors.Is(err, filelock.ErrHeld) {
		c.Progress.Say("another call of the tool is at work on the cluster %s; waiting for it", c.Name)
		lock, err = filelock.Acquire(ctx, c.Lock())
	}
	return lock, err
}

// identity is that of a member's first process; ok is false if the member doesn't run.
func (c *Cluster) identity(name string) (id process.Identity, ok bool) {
	if err := readJSON(c.Member(name).Identity(), &id); err != nil {
		return id, false
	}
	return id, id.Alive()
}

// memberNames are those of a cluster with the given nodes, the control plane first.
func memberNames(nodes []netplan.Node) []string {
	names := []string{layout.ControlName}
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	return names
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return wholefile.Write(path, append(data, '\n'), 0o644)
}

// requireRunning returns the record of a cluster whose members all live.
func (c *Cluster) requireRunning() (record, error) {
	r, err := c.load()
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("the cluster %s is %w: start it with `trellis-cluster up --name %s`", c.Name, ErrNotRunning, c.Name)
	}
	if err != nil {
		return r, err
	}
	nodes, err := netplan.Nodes(r.Nodes)
	if err != nil {
		return r, err
	}
	for _, name := range memberNames(nodes) {
		if _, ok := c.identity(name); !ok {
			return r, fmt.Errorf("%s of the cluster %s is %w: `trellis-cluster up --name %s` starts it again", name, c.Name, ErrNotRunning, c.Name)
		}
	}
	return r, nil
}
