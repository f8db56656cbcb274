//go:build integration

package pipeline

import (
	"context"
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"
)

// startRedis runs a real server with a password on loopback until the test ends.
func startRedis(t *testing.T, password string) string {
	t.Helper()
	g := NewWithT(t)
	program, err := exec.LookPath("valkey-server")
	if err != nil {
		program, err = exec.LookPath("redis-server")
	}
	g.Expect(err).NotTo(HaveOccurred(), "hack/deps.sh installs redis-server")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	address := l.Addr().String()
	g.Expect(l.Close()).To(Succeed())
	_, port, err := net.SplitHostPort(address)
	g.Expect(err).NotTo(HaveOccurred())
	cmd := exec.Command(program, "--bind", "127.0.0.1", "--port", port, "--requirepass", password, "--save", "", "--dir", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	g.Expect(cmd.Start()).To(Succeed())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	c := redis.NewClient(&redis.Options{Addr: address, Password: password})
	t.Cleanup(func() { _ = c.Close() })
	g.Eventually(func() error { return c.Ping(context.Background()).Err() }, patience, 50*time.Millisecond).Should(Succeed())
	return address
}
