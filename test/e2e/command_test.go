//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// run runs a command in the repository's root and returns what it printed.
func run(t *testing.T, stdin string, name string, args ...string) string {
	t.Helper()
	return runWith(t, nil, stdin, name, args...)
}

func runWith(t *testing.T, env []string, stdin string, name string, args ...string) string {
	t.Helper()
	var out, errors bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errors
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), errors.String())
	}
	return out.String()
}

func kubectl(t *testing.T, namespace string, args ...string) string {
	t.Helper()
	return run(t, "", "kubectl", append([]string{"--namespace", namespace}, args...)...)
}
