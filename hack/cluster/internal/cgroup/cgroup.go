// Package cgroup makes and removes the cgroups that a cluster's kubelets keep their pods in, in every hierarchy of
// the machine: the many of cgroup v1, the one of v2, or both.
package cgroup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Hierarchy is one mounted cgroup tree.
type Hierarchy struct {
	Path string
	// Unified is true of cgroup v2.
	Unified bool
	// Cpuset is true where a v1 tree's new groups have no CPUs until they are given some.
	Cpuset bool
}

// Hierarchies lists those that this machine has mounted.
func Hierarchies() ([]Hierarchy, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("listing cgroup mounts: %w", err)
	}
	defer f.Close()
	var all []Hierarchy
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		if h, ok := parseMount(scanner.Text()); ok {
			all = append(all, h)
		}
	}
	return all, nil
}

// parseMount reads one line of mountinfo: … ROOT PATH OPTIONS … - TYPE SOURCE SUPEROPTIONS.
func parseMount(line string) (Hierarchy, bool) {
	before, after, found := strings.Cut(line, " - ")
	head, tail := strings.Fields(before), strings.Fields(after)
	if !found || len(head) < 5 || len(tail) < 3 || !strings.HasPrefix(tail[0], "cgroup") {
		return Hierarchy{}, false
	}
	return Hierarchy{
		Path:    head[4],
		Unified: tail[0] == "cgroup2",
		Cpuset:  tail[0] == "cgroup" && slices.Contains(strings.Split(tail[2], ","), "cpuset"),
	}, true
}

// Make makes the group, and those above it, in every hierarchy that has controllers.
func Make(group string) error {
	all, err := Hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		if err := h.make(group); err != nil {
			return fmt.Errorf("making the cgroup %s in %s: %w", group, h.Path, err)
		}
	}
	return nil
}

func (h Hierarchy) make(group string) error {
	path := h.Path
	for _, part := range strings.Split(strings.Trim(group, "/"), "/") {
		if err := h.delegate(path); err != nil {
			return err
		}
		parent := path
		path = filepath.Join(path, part)
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := h.fillCpuset(parent, path); err != nil {
			return err
		}
	}
	return h.delegate(path)
}

// fillCpuset gives a v1 cpuset its parent's CPUs and memory nodes; without any, no process can join.
func (h Hierarchy) fillCpuset(parent, path string) error {
	if !h.Cpuset {
		return nil
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		have, err := os.ReadFile(filepath.Join(parent, file))
		if errors.Is(err, fs.ErrNotExist) { // mounted with noprefix
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(path, file), have, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// delegate lets a v2 group's children use every controller that the group has.
func (h Hierarchy) delegate(path string) error {
	if !h.Unified {
		return nil
	}
	have, err := os.ReadFile(filepath.Join(path, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, c := range strings.Fields(string(have)) {
		if err := os.WriteFile(filepath.Join(path, "cgroup.subtree_control"), []byte("+"+c), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Exists says whether any hierarchy still has the group.
func Exists(group string) (bool, error) {
	all, err := Hierarchies()
	if err != nil {
		return false, err
	}
	for _, h := range all {
		if _, err := os.Stat(filepath.Join(h.Path, group)); err == nil {
			return true, nil
		}
	}
	return false, nil
}

// Remove ends every process in the group and below it, and removes the groups, in every hierarchy.
func Remove(ctx context.Context, group string) error {
	if strings.Trim(group, "/") == "" {
		return errors.New("refusing to remove the root cgroup")
	}
	all, err := Hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		if err := removeTree(ctx, filepath.Join(h.Path, group)); err != nil {
			return fmt.Errorf("removing the cgroup %s: %w", group, err)
		}
	}
	return nil
}

// removeTree retries, because a process that was ended leaves its group a moment later.
func removeTree(ctx context.Context, root string) error {
	for {
		err := removeOnce(root)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func removeOnce(root string) error {
	var groups []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() {
			groups = append(groups, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Reverse(groups) // children before parents
	for _, g := range groups {
		for _, pid := range members(g) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone; rmdir tells whether it is
		}
		if err := syscall.Rmdir(g); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing %s: %w", g, err)
		}
	}
	return nil
}

func members(group string) []int {
	data, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var pids []int
	for _, field := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			pids = append(pids, pid)
		}
	}
	return pids
}
