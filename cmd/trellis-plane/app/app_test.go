package app

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
)

// asMain has the test binary be trellis-plane, so that the tests have the real
// process, with its signals and exit codes.
const asMain = "TRELLIS_PLANE_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		os.Exit(Main(os.Args[1:], os.Stderr))
	}
	os.Exit(m.Run())
}

// patience is far longer than any step takes, so that a machine that stalls fails none.
const patience = contracttest.Patience

// output is what a process writes, and may be read meanwhile.
type output struct{ enginetest.Output }

// addresses waits for the log to say where a plane serves.
func (o *output) addresses(t *testing.T) (contract, admin string) {
	t.Helper()
	await(t, "the plane to serve", func() bool {
		for line := range strings.Lines(o.String()) {
			var entry struct{ Msg, Address, Admin string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
				contract, admin = entry.Address, entry.Admin
			}
		}
		return contract != ""
	})
	return contract, admin
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	contracttest.Eventually(t, what, ok)
}

func command(t *testing.T, args ...string) (*exec.Cmd, *output) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	stderr := &output{}
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, stderr
}

func configFile(t *testing.T, change func(map[string]any)) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cfg := map[string]any{
		"kind": "RealtimeGateway", "namespace": "ns", "name": "name",
		"http":   map[string]any{"address": "127.0.0.1:0", "adminAddress": "127.0.0.1:0"},
		"auth":   map[string]any{"tokenFile": write("token", "the-token"), "signingKeyFile": write("key", "the-signing-key-of-32-characters")},
		"engine": map[string]any{"type": "Memory"},
		"drain":  map[string]any{"delay": "50ms", "timeout": "2m"},
		"realtime": map[string]any{
			"protocols": []string{"Polling", "SSE"}, "history": map[string]any{"size": 10, "ttl": "1m"},
			"limits": map[string]any{"connectionsPerClient": 0, "roomsPerConnection": 0, "messageBytes": 1024, "publishPerSecond": 0, "connections": 0, "queueBytes": 0},
		},
	}
	if change != nil {
		change(cfg)
	}
	data, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return write("config.json", string(data))
}

func TestServesAndEndsOnSIGTERM(t *testing.T) {
	file := configFile(t, nil)
	cmd, stderr := command(t, "realtime-gateway", "--config", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	contract, admin := stderr.addresses(t)
	await(t, "the plane to be ready", func() bool {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	req, err := http.NewRequest(http.MethodPost, "http://"+contract+"/v1/rooms/a/messages", strings.NewReader(`{"data":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer the-token")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Errorf("publish: %d", resp.StatusCode)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v:\n%s", err, stderr)
	}
	for _, secret := range []string{"the-token", "the-signing-key"} {
		if strings.Contains(stderr.String(), secret) {
			t.Errorf("the log holds a secret:\n%s", stderr)
		}
	}
	for line := range strings.Lines(stderr.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line of the log is not JSON: %s", line)
		}
	}
}

func TestRefusesToStart(t *testing.T) {
	for name, c := range map[string]struct {
		change func(map[string]any)
		args   []string
		says   string
	}{
		"another kind":         {func(c map[string]any) { c["kind"] = "JobQueue" }, nil, `kind "JobQueue"`},
		"no realtime section":  {func(c map[string]any) { delete(c, "realtime") }, nil, "no realtime section"},
		"a token that is none": {func(c map[string]any) { c["auth"].(map[string]any)["tokenFile"] = "/nonexistent" }, nil, "binding token"},
		"an unknown protocol":  {func(c map[string]any) { c["realtime"].(map[string]any)["protocols"] = []string{"Pigeon"} }, nil, `"Pigeon"`},
		"an unknown engine": {func(c map[string]any) {
			c["engine"] = map[string]any{"type": "Abacus", "uriFile": "/nonexistent"}
		}, nil, `"Abacus"`},
		"no file":               {nil, []string{"realtime-gateway", "--config", "/nonexistent"}, "no such file"},
		"an unknown subcommand": {nil, []string{"fly"}, `unknown command "fly"`},
		"an argument too many":  {nil, []string{"realtime-gateway", "now"}, `unknown command "now"`},
	} {
		t.Run(name, func(t *testing.T) {
			file := configFile(t, c.change)
			args := c.args
			if args == nil {
				args = []string{"realtime-gateway", "--config", file}
			}
			cmd, stderr := command(t, args...)
			err := cmd.Run()
			if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), c.says) {
				t.Errorf("%v, and says: %s", err, stderr)
			}
		})
	}
}

// TestTakesTheConfigurationOfANewerOperator leaves out what it does not know, and says so.
func TestTakesTheConfigurationOfANewerOperator(t *testing.T) {
	file := configFile(t, func(c map[string]any) {
		c["newer"] = true
		c["realtime"].(map[string]any)["newest"] = map[string]any{"a": 1}
	})
	cmd, stderr := command(t, "realtime-gateway", "--config", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stderr.addresses(t)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if log := stderr.String(); !strings.Contains(log, `unknown field \"newer\"`) || !strings.Contains(log, `"level":"WARN"`) {
		t.Errorf("the log does not name the field:\n%s", log)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	file := configFile(t, func(c map[string]any) { c["http"].(map[string]any)["address"] = l.Addr().String() })
	cmd, stderr := command(t, "realtime-gateway", "--config", file)
	if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), "address already in use") {
		t.Errorf("%v: %s", err, stderr)
	}
}
