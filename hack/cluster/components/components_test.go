package components

import (
	"regexp"
	"strings"
	"testing"
)

func TestEveryRecipeIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range All() {
		if seen[r.Name] {
			t.Errorf("two recipes are called %s", r.Name)
		}
		seen[r.Name] = true
		version, err := r.Version()
		if err != nil || !regexp.MustCompile(`^\d+\.\d+`).MatchString(version) {
			t.Errorf("%s has the version %q, %v", r.Name, version, err)
		}
		files, err := r.Files()
		if err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		want := []string{"go.mod", "go.sum"}
		if r.CSource != "" {
			want = []string{r.CSource}
		}
		if r.Package == "." {
			want = append(want, "main.go")
		}
		for _, name := range want {
			if len(files[name]) == 0 {
				t.Errorf("%s lacks %s", r.Name, name)
			}
		}
	}
}

// Kubernetes' own modules are all taken at the version that belongs to it, or its parts would not fit each other.
func TestKubernetesModulesAreOfOneVersion(t *testing.T) {
	recipes, err := Named("kubelet")
	if err != nil {
		t.Fatal(err)
	}
	version, err := recipes[0].Version()
	if err != nil {
		t.Fatal(err)
	}
	files, err := recipes[0].Files()
	if err != nil {
		t.Fatal(err)
	}
	staged := "v0." + strings.TrimPrefix(version, "1.")
	replaced := regexp.MustCompile(`(?m)^\s*(k8s\.io/\S+) => (\S+) (\S+)$`).FindAllStringSubmatch(string(files["go.mod"]), -1)
	if len(replaced) != 33 {
		t.Errorf("%d modules are replaced, not the 33 of Kubernetes' staging folder", len(replaced))
	}
	for _, r := range replaced {
		if r[1] != r[2] || r[3] != staged {
			t.Errorf("%s is replaced by %s %s, not by itself at %s", r[1], r[2], r[3], staged)
		}
	}
}

func TestNamed(t *testing.T) {
	if _, err := Named("kubelet", "nonsense"); err == nil {
		t.Error("a name that no component has was accepted")
	}
	all, err := Named()
	if err != nil || len(all) != len(All()) {
		t.Errorf("without names: %d recipes, %v", len(all), err)
	}
	if _, err := Named(EnvtestNames()...); err != nil {
		t.Error(err)
	}
}
