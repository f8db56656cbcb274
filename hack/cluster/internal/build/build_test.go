package build

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/hack/cluster/components"
	"github.com/trellis-dev/trellis/hack/cluster/internal/progress"
)

func recipe(t *testing.T, name string) components.Recipe {
	t.Helper()
	recipes, err := components.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	return recipes[0]
}

// Whatever changes what is built changes the key, and nothing else does.
func TestKey(t *testing.T) {
	plain := recipe(t, "kubelet")
	key := func(r components.Recipe, goVersion string) string {
		k, err := Key(r, goVersion)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := key(plain, "go1.26.8")
	if !strings.HasPrefix(first, "1.37.2-") {
		t.Errorf("the key %s does not begin with the version", first)
	}
	if again := key(recipe(t, "kubelet"), "go1.26.8"); again != first {
		t.Errorf("the same recipe has the keys %s and %s", first, again)
	}
	tagged := plain
	tagged.Tags = []string{"other"}
	for name, other := range map[string]string{
		"another compiler":  key(plain, "go1.27.0"),
		"other tags":        key(tagged, "go1.26.8"),
		"another component": key(recipe(t, "kube-proxy"), "go1.26.8"),
	} {
		if other == first {
			t.Errorf("%s has the same key", name)
		}
	}
}

func TestGoArgs(t *testing.T) {
	for name, want := range map[string][]string{
		"runc": {"build", "-trimpath", "-buildvcs=false", "-ldflags",
			"-s -w -X main.version=1.5.2 -linkmode external -extldflags -static",
			"-tags", "seccomp,netgo,osusergo", "-o", "out", "github.com/opencontainers/runc"},
		"kube-proxy": {"build", "-trimpath", "-buildvcs=false", "-ldflags",
			"-s -w -X k8s.io/component-base/version.gitVersion=v1.5.2 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=5",
			"-o", "out", "k8s.io/kubernetes/cmd/kube-proxy"},
	} {
		if diff := cmp.Diff(want, goArgs(recipe(t, name), "1.5.2", "out")); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// pause is built for real, since that takes no time: once, then from the cache, and again when the cache is damaged.
func TestEnsure(t *testing.T) {
	b := &Builder{Cache: t.TempDir(), Progress: progress.Discard(), GoVersion: "go1"}
	r := []components.Recipe{recipe(t, "pause")}
	ensure := func() Artefact {
		t.Helper()
		artefacts, err := b.Ensure(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return artefacts[0]
	}
	if first := ensure(); first.Cached || first.Size == 0 {
		t.Errorf("the first time: %+v", first)
	}
	second := ensure()
	if !second.Cached {
		t.Error("the second time it was built again")
	}
	if err := os.WriteFile(second.Path, []byte("half of it"), 0o755); err != nil {
		t.Fatal(err)
	}
	if third := ensure(); third.Cached {
		t.Error("a damaged file was taken from the cache")
	}
	if fourth := ensure(); !fourth.Cached {
		t.Error("after the repair it was built again")
	}
}

func TestAFailedBuildSaysWhyAndLeavesNothing(t *testing.T) {
	b := &Builder{Cache: t.TempDir(), Progress: progress.Discard(), GoVersion: "go1"}
	broken := recipe(t, "pause")
	broken.CSource = "missing.c"
	_, err := b.Ensure(t.Context(), []components.Recipe{broken})
	if err == nil || !strings.Contains(err.Error(), "missing.c") || !strings.Contains(err.Error(), "pause.log") {
		t.Errorf("the error quotes no log: %v", err)
	}
	if _, err := b.lookup(broken); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is in the cache: %v", err)
	}
}

func TestLinkAllReplacesLinks(t *testing.T) {
	folder := t.TempDir()
	for _, target := range []string{"/old", "/new"} {
		if err := LinkAll([]Artefact{{Name: "kubectl", Path: target}}, folder); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.Readlink(folder + "/kubectl")
	if err != nil || got != "/new" {
		t.Errorf("got %s, %v", got, err)
	}
}
