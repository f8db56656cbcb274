package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/trellis-dev/trellis/hack/cluster/internal/cgroup"
	"github.com/trellis-dev/trellis/hack/cluster/internal/process"
)

const clearTimeout = time.Minute

// Down ends the cluster and removes all that belongs to it. It is no error if there is none.
func (c *Cluster) Down(ctx context.Context) error {
	lock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer func() {
		lock.Remove()
		_ = os.Remove(c.Base) // succeeds only when no other cluster has its folder in it
	}()
	existed := c.exists()
	if err := c.clear(ctx); err != nil {
		return fmt.Errorf("taking the cluster %s down: %w", c.Name, err)
	}
	if existed {
		c.Progress.Say("the cluster %s is down", c.Name)
	} else {
		c.Progress.Say("there was no cluster %s", c.Name)
	}
	return nil
}

func (c *Cluster) exists() bool {
	_, err := os.Stat(c.Root())
	return err == nil
}

// clear removes whatever there is of the cluster. It goes by what it finds, not by what the record says there should
// be, so that it works at any point of a boot that broke off.
func (c *Cluster) clear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, clearTimeout)
	defer cancel()
	files, err := filepath.Glob(c.Member("*").Identity())
	if err != nil {
		return fmt.Errorf("looking for members: %w", err)
	}
	for _, path := range files {
		var id process.Identity
		if err := readJSON(path, &id); err != nil {
			return fmt.Errorf("looking for a member: %w", err)
		}
		if err := id.Kill(ctx); err != nil {
			return err
		}
	}
	if err := cgroup.Remove(ctx, c.Cgroup()); err != nil {
		return err
	}
	if err := unmountBelow(c.Root()); err != nil {
		return err
	}
	if err := os.RemoveAll(c.Root()); err != nil {
		return fmt.Errorf("removing the cluster's folder: %w", err)
	}
	return nil
}

// unmountBelow unmounts what may be mounted below a folder in the host's mount namespace. The tool itself mounts
// nothing there; but to remove a folder with a foreign mount in it would remove the foreign files.
func unmountBelow(root string) error {
	paths, err := mountsBelow(root)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("unmounting %s: %w", path, err)
		}
	}
	return nil
}

// mountsBelow lists mounts below root, the deepest first.
func mountsBelow(root string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("listing mounts: %w", err)
	}
	var paths []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], root+"/") {
			paths = append(paths, fields[4])
		}
	}
	sort.Sort(sort.Reverse(sort.StringSlice(paths)))
	return paths, nil
}
