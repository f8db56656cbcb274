package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"

	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
	"github.com/trellis-dev/trellis/hack/cluster/internal/units"
)

// Load imports image files into every node.
func (c *Cluster) Load(ctx context.Context, paths []string) error {
	r, err := c.requireRunning()
	if err != nil {
		return err
	}
	nodes, err := netplan.Nodes(r.Nodes)
	if err != nil {
		return err
	}
	return onEach(nodes, func(n netplan.Node) error {
		for _, path := range paths {
			if err := c.importInto(ctx, n.Name, path); err != nil {
				return err
			}
			c.Progress.Say("%s has %s", n.Name, path)
		}
		return nil
	})
}

// importCatalogue imports the images that every cluster gets, but for those that a node has already.
func (b *boot) importCatalogue(ctx context.Context) error {
	err := onEach(b.nodes, func(n netplan.Node) error {
		if err := eventually(ctx, func(ctx context.Context) error { return b.containerdAnswers(ctx, n.Name) }); err != nil {
			return fmt.Errorf("waiting for containerd of %s: %w", n.Name, err)
		}
		path := b.Member(n.Name).Path("images.json")
		var have []string
		if err := readJSON(path, &have); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, img := range b.request.Images {
			if slices.Contains(have, img.Path) {
				continue
			}
			if err := b.importInto(ctx, n.Name, img.Path); err != nil {
				return err
			}
			have = append(have, img.Path)
			if err := writeJSON(path, have); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		b.Progress.Say("images are imported")
	}
	return err
}

func (c *Cluster) containerdAnswers(ctx context.Context, node string) error {
	return c.ctr(ctx, node, nil, "version")
}

func (c *Cluster) importInto(ctx context.Context, node, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening an image: %w", err)
	}
	defer f.Close()
	// The node doesn't see all of the host's files, so the image goes in through a pipe.
	if err := c.ctr(ctx, node, f, "images", "import", "-"); err != nil {
		return fmt.Errorf("importing %s into %s: %w", path, node, err)
	}
	return nil
}

// ctr runs containerd's client in the node's mount namespace.
func (c *Cluster) ctr(ctx context.Context, node string, stdin io.Reader, args ...string) error {
	id, ok := c.identity(node)
	if !ok {
		return fmt.Errorf("%s is %w", node, ErrNotRunning)
	}
	args = append([]string{"--target", strconv.Itoa(id.PID), "--mount", "--", c.Executable("ctr"),
		"--address", units.ContainerdSocket, "--namespace", "k8s.io"}, args...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Stdin = stdin
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	return nil
}

func onEach(nodes []netplan.Node, do func(netplan.Node) error) error {
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() { errs[i] = do(n) })
	}
	all.Wait()
	return errors.Join(errs...)
}
