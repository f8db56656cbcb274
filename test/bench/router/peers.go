package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/trellis-dev/trellis/test/bench/process"
	"github.com/trellis-dev/trellis/test/bench/router/load"
)

// haproxyConfig lists servers by name with fixed ids, without which two processes do not agree on where a key goes.
func haproxyConfig(address string, shards []string) string {
	var servers strings.Builder
	for i, shard := range shards {
		fmt.Fprintf(&servers, "  server shard-%d %s id %d\n", i, shard, i+1)
	}
	return fmt.Sprintf(`global
  maxconn 4096
  nbthread 2
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend router
  bind %s
  default_backend shards
backend shards
  balance hdr(%s)
  hash-type consistent
%s`, address, load.KeyHeader, servers.String())
}

func nginxConfig(address, folder string, shards []string) string {
	var servers strings.Builder
	for _, shard := range shards {
		fmt.Fprintf(&servers, "    server %s max_fails=0;\n", shard)
	}
	return fmt.Sprintf(`worker_processes 2;
daemon off;
pid %[1]s/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  keepalive_requests 1000000000;
  upstream shards {
    hash $http_%[2]s consistent;
%[3]s    keepalive 128;
    keepalive_requests 1000000000;
  }
  server {
    listen %[4]s;
    location / {
      proxy_pass http://shards;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`, folder, strings.ToLower(strings.ReplaceAll(load.KeyHeader, "-", "_")), servers.String(), address)
}

// started is a router that runs: ours or a peer.
type started struct {
	address string
	pids    []int
	// children are those of our own programs.
	children []*process.Child
	stop     func()
}

func startHAProxy(ctx context.Context, log io.Writer, dir string, shards []string) (*started, error) {
	return startPeer(ctx, log, "haproxy", func(address string) ([]string, error) {
		file := filepath.Join(dir, "haproxy.cfg")
		return []string{"-db", "-f", file}, os.WriteFile(file, []byte(haproxyConfig(address, shards)), 0o600)
	})
}

func startNginx(ctx context.Context, log io.Writer, dir string, shards []string) (*started, error) {
	return startPeer(ctx, log, "nginx", func(address string) ([]string, error) {
		file := filepath.Join(dir, "nginx.conf")
		return []string{"-e", "stderr", "-p", dir, "-c", file}, os.WriteFile(file, []byte(nginxConfig(address, dir, shards)), 0o600)
	})
}

func startPeer(ctx context.Context, log io.Writer, name string, configure func(address string) ([]string, error)) (*started, error) {
	program, err := exec.LookPath(name)
	if err != nil {
		// Debian has it where only root looks.
		program = filepath.Join("/usr/sbin", name)
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%s is needed: run hack/deps.sh bench: %w", name, err)
	}
	addresses, err := process.FreeAddresses(1)
	if err != nil {
		return nil, err
	}
	args, err := configure(addresses[0])
	if err != nil {
		return nil, fmt.Errorf("configure %s: %w", name, err)
	}
	cmd := exec.Command(program, args...) //nolint:gosec // a program of Debian's
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s := &started{address: addresses[0], stop: func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait()
	}}
	err = process.AwaitServing(ctx, "http://"+s.address+"/")
	if err == nil {
		s.pids, err = family(cmd.Process.Pid)
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return s, nil
}

// family is a process and its children.
func family(pid int) ([]int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if errors.Is(err, os.ErrNotExist) {
		return []int{pid}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the workers of a server: %w", err)
	}
	out := []int{pid}
	for field := range strings.FieldsSeq(string(data)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("find the workers of a server: %w", err)
		}
		out = append(out, child)
	}
	return out, nil
}

// cpu is what all its processes have used.
func (s *started) cpu() (time.Duration, error) {
	var all time.Duration
	for _, pid := range s.pids {
		used, err := process.CPU(pid)
		if err != nil {
			return 0, err
		}
		all += used
	}
	return all, nil
}
