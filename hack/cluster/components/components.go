// Package components declares the executables that the embedded cluster is made of: which Go module each comes
// from, at which version, and with which build flags. It builds nothing itself; package build does.
//
// Every folder here is a Go module whose go.mod and go.sum are kept as module.mod and module.sum, because go:embed
// leaves out folders that hold a go.mod, and the tool must carry its recipes with it. tidy.sh renews them.
package components

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed */module.mod */module.sum */*.src pause/pause.c
var sources embed.FS

// Recipe says how one executable is built.
type Recipe struct {
	// Name is the executable's file name.
	Name string
	// Folder holds the module files, beside this source file.
	Folder string
	// Module is the required module that gives the executable its version.
	Module string
	// Package is the import path of the main package; "." is the folder's own.
	Package string
	Tags    []string
	// Static links a cgo program statically; without it cgo is off.
	Static bool
	// LinkVars are string variables set at link time, as variable=value; {version}, {major} and {minor} in a value
	// stand for the parts of the version.
	LinkVars []string
	// CSource is the one C file of a program that is not Go.
	CSource string
	// CVersion is the version of a C program; it has no module to take one from.
	CVersion string
}

const (
	kubernetes = "k8s.io/kubernetes"
	containerd = "github.com/containerd/containerd/v2"
	runc       = "github.com/opencontainers/runc"
	etcd       = "go.etcd.io/etcd/server/v3"
	coredns    = "github.com/coredns/coredns"
	natsServer = "github.com/nats-io/nats-server/v2"
	versitygw  = "github.com/versity/versitygw"
)

// All lists every executable, those first that integration tests need too.
func All() []Recipe {
	containerdTags := []string{"no_btrfs", "no_zfs", "no_devmapper"}
	ofContainerd := func(name string) Recipe {
		return Recipe{Name: name, Folder: "containerd", Module: containerd, Package: containerd + "/cmd/" + name, Tags: containerdTags,
			LinkVars: []string{containerd + "/version.Version=v{version}"}}
	}
	return []Recipe{
		ofKubernetes("kube-apiserver"),
		{Name: "etcd", Folder: "etcd", Module: etcd, Package: etcd},
		ofKubernetes("kubectl"),
		ofKubernetes("kube-controller-manager"),
		ofKubernetes("kube-scheduler"),
		ofKubernetes("kubelet"),
		ofKubernetes("kube-proxy"),
		ofContainerd("containerd"),
		ofContainerd("containerd-shim-runc-v2"),
		ofContainerd("ctr"),
		{Name: "runc", Folder: "runc", Module: runc, Package: runc, Static: true,
			Tags: []string{"seccomp", "netgo", "osusergo"}, LinkVars: []string{"main.version={version}"}},
		{Name: "coredns", Folder: "coredns", Module: coredns, Package: "."},
		{Name: "nats-server", Folder: "nats-server", Module: natsServer, Package: natsServer},
		{Name: "versitygw", Folder: "versitygw", Module: versitygw, Package: versitygw + "/cmd/versitygw", LinkVars: []string{"main.Version=v{version}"}},
		{Name: "pause", Folder: "pause", CSource: "pause.c", CVersion: "3.10"},
	}
}

func ofKubernetes(name string) Recipe {
	version := "k8s.io/component-base/version"
	return Recipe{Name: name, Folder: "kubernetes", Module: kubernetes, Package: kubernetes + "/cmd/" + name,
		LinkVars: []string{version + ".gitVersion=v{version}", version + ".gitMajor={major}", version + ".gitMinor={minor}"}}
}

// EnvtestNames are the executables that KUBEBUILDER_ASSETS must hold.
func EnvtestNames() []string { return []string{"kube-apiserver", "etcd", "kubectl"} }

// Named returns the recipes of the given names, all of them when none is given.
func Named(names ...string) ([]Recipe, error) {
	if len(names) == 0 {
		return All(), nil
	}
	byName := map[string]Recipe{}
	for _, r := range All() {
		byName[r.Name] = r
	}
	var out []Recipe
	for _, n := range names {
		r, ok := byName[n]
		if !ok {
			return nil, fmt.Errorf("no component is called %q", n)
		}
		out = append(out, r)
	}
	return out, nil
}

// Version is the recipe's version without a leading v, as its module.mod pins it.
func (r Recipe) Version() (string, error) {
	if r.Module == "" {
		return r.CVersion, nil
	}
	mod, err := sources.ReadFile(r.Folder + "/module.mod")
	if err != nil {
		return "", fmt.Errorf("reading the module file of %s: %w", r.Name, err)
	}
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == r.Module && strings.HasPrefix(fields[1], "v") {
			return strings.TrimPrefix(fields[1], "v"), nil
		}
	}
	return "", fmt.Errorf("module.mod of %s does not require %s", r.Name, r.Module)
}

// Files returns the recipe's source files under the names that the go command wants: go.mod, go.sum, main.go.
func (r Recipe) Files() (map[string][]byte, error) {
	entries, err := fs.ReadDir(sources, r.Folder)
	if err != nil {
		return nil, fmt.Errorf("listing the sources of %s: %w", r.Name, err)
	}
	renamed := strings.NewReplacer("module.mod", "go.mod", "module.sum", "go.sum", ".src", "")
	out := map[string][]byte{}
	for _, e := range entries {
		data, err := fs.ReadFile(sources, r.Folder+"/"+e.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the sources of %s: %w", r.Name, err)
		}
		out[renamed.Replace(e.Name())] = data
	}
	return out, nil
}
