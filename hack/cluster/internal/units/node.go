package units

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"text/template"

	"github.com/trellis-dev/trellis/hack/cluster/internal/layout"
	"github.com/trellis-dev/trellis/hack/cluster/internal/member"
	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
	"github.com/trellis-dev/trellis/hack/cluster/internal/pki"
	"github.com/trellis-dev/trellis/hack/cluster/internal/wholefile"
)

// PauseImage holds a pod's namespaces open.
const PauseImage = "registry.k8s.io/pause:3.10"

// ContainerdSocket is at the same place in every node, because each has a /run of its own.
const ContainerdSocket = "/run/containerd/containerd.sock"

//go:embed templates/*
var templates embed.FS

// parsed fails at the start of the program, not in the middle of a boot.
var parsed = template.Must(template.New("").Option("missingkey=error").ParseFS(templates, "templates/*"))

// NodeUsers are the users of a node that need a kubeconfig.
func NodeUsers(node string) []string { return []string{pki.Kubelet(node), pki.Proxy} }

// Node returns the units of a node.
func Node(c layout.Cluster, n netplan.Node) []member.Unit {
	m := c.Member(n.Name)
	// containerd finds its shim on PATH, and the shim runc.
	path := []string{"PATH=" + c.Bin() + ":" + os.Getenv("PATH")}
	return []member.Unit{
		{Name: "containerd", Argv: []string{c.Executable("containerd"), "--config", m.Path("containerd.toml")}, Env: path},
		{Name: "kubelet", After: ContainerdSocket, Argv: []string{c.Executable("kubelet"),
			"--config=" + m.Path("kubelet.yaml"), "--kubeconfig=" + m.Kubeconfig(pki.Kubelet(n.Name)),
			"--cert-dir=" + m.Path("kubelet-pki"),
			"--hostname-override=" + n.Name, "--node-ip=" + n.Address.String()}},
		{Name: "kube-proxy", After: netplan.APIAddress(), Argv: []string{c.Executable("kube-proxy"),
			"--config=" + m.Path("kube-proxy.yaml"), "--hostname-override=" + n.Name}},
	}
}

// view is what the templates may use.
type view struct {
	Dir, PKI, Cgroup, Runc, Pause, Socket string
	ResolvConf, Domain, DNS               string
	Kubelet, ProxyKubeconfig              string
	Pods, PodRange                        string
}

// WriteNodeConfig writes the configuration files that a node's units read.
func WriteNodeConfig(c layout.Cluster, n netplan.Node) error {
	m := c.Member(n.Name)
	v := view{
		Dir: m.Dir(), PKI: c.PKI(), Cgroup: m.Cgroup(), Runc: c.Executable("runc"), Pause: PauseImage, Socket: ContainerdSocket,
		ResolvConf: c.ResolvConf(), Domain: netplan.Domain, DNS: netplan.DNSService.String(),
		Kubelet: pki.Kubelet(n.Name), ProxyKubeconfig: m.Kubeconfig(pki.Proxy),
		Pods: n.Pods.String(), PodRange: netplan.PodRange.String(),
	}
	for name, path := range map[string]string{
		"containerd.toml": m.Path("containerd.toml"),
		"kubelet.yaml":    m.Path("kubelet.yaml"),
		"kube-proxy.yaml": m.Path("kube-proxy.yaml"),
		"pods.conflist":   m.Path("cni", "pods.conflist"),
	} {
		var out bytes.Buffer
		if err := parsed.ExecuteTemplate(&out, name, v); err != nil {
			return fmt.Errorf("rendering %s of %s: %w", name, n.Name, err)
		}
		if err := wholefile.Write(path, out.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
