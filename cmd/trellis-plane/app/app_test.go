package app

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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

func command(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, stderr
}

func configFile(t *testing.T, change func(map[string]any)) (file, contract, admin string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	contract, admin = freeAddress(t), freeAddress(t)
	cfg := map[string]any{
		"kind": "RealtimeGateway", "namespace": "ns", "name": "name",
		"http":   map[string]any{"address": contract, "adminAddress": admin},
		"auth":   map[string]any{"tokenFile": write("token", "the-token"), "signingKeyFile": write("key", "the-signing-key-of-32-characters")},
		"engine": map[string]any{"type": "Memory"},
		"drain":  map[string]any{"delay": "50ms", "timeout": "5s"},
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
	return write("config.json", string(data)), contract, admin
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestServesAndEndsOnSIGTERM(t *testing.T) {
	file, contract, admin := configFile(t, nil)
	cmd, stderr := command(t, "realtime-gateway", "--config", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for status := 0; status != http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatalf("not ready:\n%s", stderr)
		}
		if resp, err := http.Get("http://" + admin + "/readyz"); err == nil {
			status = resp.StatusCode
			_ = resp.Body.Close()
		}
	}
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
		"an unknown field":     {func(c map[string]any) { c["newer"] = true }, nil, `unknown field "newer"`},
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
			file, _, _ := configFile(t, c.change)
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

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	file, _, _ := configFile(t, func(c map[string]any) { c["http"].(map[string]any)["address"] = l.Addr().String() })
	cmd, stderr := command(t, "realtime-gateway", "--config", file)
	if err := cmd.Run(); err == nil || !strings.Contains(stderr.String(), "address already in use") {
		t.Errorf("%v: %s", err, stderr)
	}
}
