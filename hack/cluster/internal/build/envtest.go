package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/trellis-dev/trellis/hack/cluster/components"
)

// EnvtestAssets builds what is missing and returns a folder fit for KUBEBUILDER_ASSETS: kube-apiserver, etcd and
// kubectl side by side, as links into the cache. The folder is the same for the same Kubernetes version.
func (b *Builder) EnvtestAssets(ctx context.Context) (string, error) {
	recipes, err := components.Named(components.EnvtestNames()...)
	if err != nil {
		return "", err
	}
	artefacts, err := b.Ensure(ctx, recipes)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(b.Cache, "envtest", artefacts[0].Version)
	return folder, LinkAll(artefacts, folder)
}

// LinkAll makes folder hold a link to every artefact. Each link is replaced in one step, so a reader never misses it.
func LinkAll(artefacts []Artefact, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("making the folder of links: %w", err)
	}
	for _, a := range artefacts {
		link := filepath.Join(folder, a.Name)
		fresh := fmt.Sprintf("%s.%d", link, os.Getpid())
		if err := os.Symlink(a.Path, fresh); err != nil {
			return fmt.Errorf("linking %s: %w", a.Name, err)
		}
		if err := os.Rename(fresh, link); err != nil {
			return fmt.Errorf("linking %s: %w", a.Name, err)
		}
	}
	return nil
}
