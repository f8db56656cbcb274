package units

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/trellis-dev/trellis/hack/cluster/internal/layout"
	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
)

func plan(t *testing.T) (layout.Cluster, netplan.Node) {
	t.Helper()
	dir, err := os.MkdirTemp("", "") // t.TempDir's path is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c, err := layout.New(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := netplan.Nodes(2)
	if err != nil {
		t.Fatal(err)
	}
	return c, nodes[1]
}

// flags collects the flags of a unit; one given twice shows as a failure.
func flags(t *testing.T, argv []string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, arg := range argv[1:] {
		name, value, _ := strings.Cut(arg, "=")
		if _, twice := got[name]; twice {
			t.Errorf("%s is given twice", name)
		}
		got[name] = value
	}
	return got
}

func TestControl(t *testing.T) {
	c, _ := plan(t)
	want := map[string]map[string]string{
		"etcd": {"--listen-client-urls": "http://127.0.0.1:2379"},
		"kube-apiserver": {"--authorization-mode": "Node,RBAC", "--kubelet-preferred-address-types": "InternalIP",
			"--service-cluster-ip-range": "10.96.0.0/16", "--advertise-address": "10.90.0.1"},
		"kube-controller-manager": {"--use-service-account-credentials": "true", "--leader-elect": "false"},
		"kube-scheduler":          {"--leader-elect": "false"},
	}
	for _, u := range Control(c) {
		if u.Name == "provisioner" { // its flags are followed by their values
			continue
		}
		got := flags(t, u.Argv)
		for name, value := range want[u.Name] {
			if got[name] != value {
				t.Errorf("%s: %s is %q, not %q", u.Name, name, got[name], value)
			}
		}
	}
}

func TestNodeConfig(t *testing.T) {
	c, n := plan(t)
	if err := WriteNodeConfig(c, n); err != nil {
		t.Fatal(err)
	}
	m := c.Member(n.Name)
	kubelet := map[string]any{}
	readYAML(t, m.Path("kubelet.yaml"), &kubelet)
	for name, want := range map[string]any{"failCgroupV1": false, "cgroupDriver": "cgroupfs", "cgroupRoot": "/trellis-a/node2", "resolvConf": c.ResolvConf()} {
		if kubelet[name] != want {
			t.Errorf("the kubelet's %s is %v, not %v", name, kubelet[name], want)
		}
	}
	proxy := map[string]any{}
	readYAML(t, m.Path("kube-proxy.yaml"), &proxy)
	if proxy["mode"] != "nftables" {
		t.Errorf("kube-proxy's mode is %v", proxy["mode"])
	}
	network, err := os.ReadFile(m.Path("cni", "pods.conflist"))
	if err != nil || !json.Valid(network) || !strings.Contains(string(network), `"subnet": "10.244.2.0/24"`) {
		t.Errorf("the pods' network: %v\n%s", err, network)
	}
	runtime, err := os.ReadFile(m.Path("containerd.toml"))
	if err != nil || !strings.Contains(string(runtime), "restrict_oom_score_adj = true") {
		t.Errorf("containerd's configuration: %v\n%s", err, runtime)
	}
}

// containerd looks its shim up on PATH, where the cluster's own must come first.
func TestContainerdFindsItsShim(t *testing.T) {
	c, n := plan(t)
	units := Node(c, n)
	if !slices.ContainsFunc(units[0].Env, func(s string) bool { return strings.HasPrefix(s, "PATH="+c.Bin()+":") }) {
		t.Errorf("containerd's environment is %v", units[0].Env)
	}
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(data, into); err != nil {
		t.Fatalf("%s: %v\n%s", path, err, data)
	}
}
