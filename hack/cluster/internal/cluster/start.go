package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/trellis-dev/trellis/hack/cluster/internal/cgroup"
	"github.com/trellis-dev/trellis/hack/cluster/internal/layout"
	"github.com/trellis-dev/trellis/hack/cluster/internal/member"
	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
	"github.com/trellis-dev/trellis/hack/cluster/internal/pki"
	"github.com/trellis-dev/trellis/hack/cluster/internal/process"
	"github.com/trellis-dev/trellis/hack/cluster/internal/units"
	"github.com/trellis-dev/trellis/hack/cluster/internal/wire"
)

// kernelSettings are those that the kubelet demands, and that only the host may set. It is shown them as if they were
// set; see member.Spec.Pretend.
var kernelSettings = map[string]string{
	"vm.overcommit_memory": "1", "vm.panic_on_oom": "0",
	"kernel.panic": "10", "kernel.panic_on_oops": "1",
	"kernel.keys.root_maxkeys": "1000000", "kernel.keys.root_maxbytes": "25000000",
}

// sysctls make a namespace a router. That an address is unreachable is said each time, so that nobody waits for it.
var sysctls = map[string]string{"net.ipv4.ip_forward": "1", "net.ipv4.icmp_ratelimit": "0"}

func (b *boot) startMembers(ctx context.Context) error {
	if b.missing[layout.ControlName] {
		if err := b.startControl(); err != nil {
			return err
		}
	}
	control, ok := b.identity(layout.ControlName)
	if !ok {
		return errors.New("the control plane's first process died at once")
	}
	for _, n := range b.nodes {
		if !b.missing[n.Name] {
			continue
		}
		if err := b.startNode(ctx, control.PID, n); err != nil {
			return err
		}
	}
	return nil
}

// startControl starts the control plane with all sockets of the host that lead into the cluster: the API's, and
// those of forwards that were there before.
func (b *boot) startControl() error {
	api, port, err := listen(b.record.APIPort)
	if err != nil && b.record.APIPort != 0 {
		b.Progress.Say("port %d, where the API was, is taken; choosing another", b.record.APIPort)
		api, port, err = listen(0)
	}
	if err != nil {
		return err
	}
	defer api.Close()
	b.record.APIPort = port
	listeners, targets := []*os.File{api}, []string{netplan.APIAddress()}
	files, forwards := b.reopenForwards()
	for i, file := range files {
		defer file.Close()
		listeners, targets = append(listeners, file), append(targets, forwards[i].Target)
	}
	b.record.Forwards = forwards
	if err := b.store(b.record); err != nil {
		return err
	}
	server := fmt.Sprintf("https://127.0.0.1:%d", port)
	if err := pki.WriteKubeconfig(b.Kubeconfig(), b.PKI(), pki.Admin, "trellis-"+b.Name, server); err != nil {
		return err
	}
	spec := b.spec(layout.ControlName, units.Control(b.Cluster.Cluster))
	spec.Targets = targets
	return b.start(spec, listeners, wire.Control)
}

// reopenForwards opens the ports of an earlier life again. One that was taken meanwhile is given up: its users asked
// for that address, so another would be of no use to them.
func (b *boot) reopenForwards() (files []*os.File, kept []member.Forward) {
	for _, f := range b.record.Forwards {
		address, err := netip.ParseAddrPort(f.Listen)
		if err != nil {
			b.Progress.Say("giving up the forward from %s: %v", f.Listen, err)
			continue
		}
		file, _, err := listen(int(address.Port()))
		if err != nil {
			b.Progress.Say("giving up the forward from %s: %v", f.Listen, err)
			continue
		}
		files, kept = append(files, file), append(kept, f)
	}
	return files, kept
}

func (b *boot) startNode(ctx context.Context, controlPID int, n netplan.Node) error {
	// A node that died left its pods' groups, in which the new kubelet would look for containers one by one.
	if err := cgroup.Remove(ctx, b.Member(n.Name).Cgroup()); err != nil {
		return err
	}
	if err := cgroup.Make(b.Member(n.Name).Cgroup()); err != nil {
		return err
	}
	spec := b.spec(n.Name, units.Node(b.Cluster.Cluster, n))
	spec.Pretend = kernelSettings
	return b.start(spec, nil, func(pid int) error { return wire.Node(controlPID, pid, n) })
}

func (b *boot) spec(name string, u []member.Unit) member.Spec {
	m := b.Member(name)
	return member.Spec{
		Name: name, RunDir: m.Path("run"), LogDir: m.Path("log"), LibDir: m.Path("lib"), Keep: []string{b.Base, b.request.Cache},
		UnitLogs: b.Logs(), Socket: m.Socket(), ResolvConf: b.ResolvConf(),
		Sysctls: sysctls,
		DNS:     net.JoinHostPort(netplan.DNSService.String(), "53"), Units: u,
	}
}

func (b *boot) start(spec member.Spec, listeners []*os.File, connect func(pid int) error) error {
	m := b.Member(spec.Name)
	return member.Start(member.Birth{
		Executable: b.Executable("trellis-cluster"), Log: m.Log(), Spec: spec, Listeners: listeners,
		Record: func(id process.Identity) error { return writeJSON(m.Identity(), id) },
		Wire:   connect,
	})
}

// listen opens a socket on the host's loopback interface, at a free port if none is given.
func listen(port int) (*os.File, int, error) {
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return nil, 0, fmt.Errorf("listening on a loopback port: %w", err)
	}
	defer listener.Close() // the file is a duplicate and stays open
	file, err := listener.File()
	if err != nil {
		return nil, 0, fmt.Errorf("listening on a loopback port: %w", err)
	}
	return file, listener.Addr().(*net.TCPAddr).Port, nil
}
