//go:build cluster

// Package e2e boots real clusters and looks at them from the outside, as a user would. It needs root and takes
// minutes: go test -tags cluster ./e2e
package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stateBase is a folder of the tests' own, so that they never meet the clusters of anyone else.
const stateBase = "/var/lib/trellis-cluster-test"

// tool is the command line as a program, so that it can be killed like one.
type tool struct {
	t    *testing.T
	path string
	name string
}

// newTool builds the command line and takes the cluster down when the test ends.
func newTool(t *testing.T, suffix string) *tool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trellis-cluster")
	goBuild(t, path, "..")
	c := &tool{t: t, path: path, name: fmt.Sprintf("dev-e2e%d-%s", os.Getpid()%1000, suffix)}
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("KEEP") != "" {
			return
		}
		c.run("down")
	})
	return c
}

func goBuild(t *testing.T, out, pkg string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, output)
	}
}

func (c *tool) command(args ...string) *exec.Cmd {
	return exec.Command(c.path, append([]string{"--name", c.name, "--state", stateBase}, args...)...)
}

// try runs the tool and returns its standard output and its error, which quotes standard error.
func (c *tool) try(args ...string) (string, error) {
	cmd := c.command(args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	c.t.Logf("%s %s\n%s%s", c.name, strings.Join(args, " "), stderr.String(), output)
	if err != nil {
		return "", fmt.Errorf("trellis-cluster %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(output)), nil
}

func (c *tool) run(args ...string) string {
	c.t.Helper()
	output, err := c.try(args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return output
}

func (c *tool) root() string { return filepath.Join(stateBase, c.name) }

// kubectl runs the cluster's own kubectl.
func (c *tool) kubectl(stdin string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(c.root(), "bin", "kubectl"), append([]string{"--kubeconfig", filepath.Join(c.root(), "kubeconfig")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, output)
	}
	return strings.TrimSpace(string(output)), nil
}

func (c *tool) mustKubectl(stdin string, args ...string) string {
	c.t.Helper()
	output, err := c.kubectl(stdin, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return output
}

// ask sends a request to a probe behind a forwarded port.
func ask(address, path string, query ...string) (string, error) {
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path+"?"+values.Encode(), nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}

// eventually repeats met until it succeeds, for a minute at most.
func eventually(t *testing.T, what string, met func() error) {
	t.Helper()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-ticker.C {
		if err = met(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// answers is met once the probe's reply is the one wanted.
func answers(want, address, path string, query ...string) func() error {
	return func() error {
		got, err := ask(address, path, query...)
		if err == nil && got != want {
			err = fmt.Errorf("got %q, not %q", got, want)
		}
		return err
	}
}
