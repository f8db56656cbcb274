package pki

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
)

func ensure(t *testing.T, dir string, n int) {
	t.Helper()
	nodes, err := netplan.Nodes(n)
	if err != nil {
		t.Fatal(err)
	}
	if err := Ensure(dir, nodes); err != nil {
		t.Fatal(err)
	}
}

func TestCertificatesAreTrusted(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, 1)
	ca, err := readCertificate(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for name, hosts := range map[string][]string{
		"kube-apiserver": {"127.0.0.1", "10.90.0.1", "10.96.0.1", "kubernetes.default.svc"},
		"kubelet-node1":  {"10.90.0.11"},
	} {
		certificate, err := readCertificate(filepath.Join(dir, name+".crt"))
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range hosts {
			if _, err := certificate.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
				t.Errorf("%s for %s: %v", name, host, err)
			}
		}
	}
	admin, err := readCertificate(filepath.Join(dir, "admin.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err == nil {
		t.Error("a client's certificate may serve")
	}
}

// What exists stays: a second call, for a cluster that grows, must not turn the first call's keys away.
func TestEnsureKeepsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, 1)
	before := map[string]string{}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		before[f] = read(t, f)
	}
	ensure(t, dir, 2)
	for f, content := range before {
		if read(t, f) != content {
			t.Errorf("%s has changed", f)
		}
	}
	read(t, filepath.Join(dir, "kubelet-node2.crt"))
}

func TestKeysAreSecret(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, 1)
	keys, err := filepath.Glob(filepath.Join(dir, "*.key"))
	if err != nil || len(keys) == 0 {
		t.Fatal(keys, err)
	}
	for _, k := range keys {
		info, err := os.Stat(k)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", k, info.Mode(), err)
		}
	}
}

func TestKubeconfigCanBeRead(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, 1)
	path := filepath.Join(dir, "kubeconfig")
	if err := WriteKubeconfig(path, dir, Admin, "trellis-a", "https://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:1" || len(config.CertData) == 0 || len(config.CAData) == 0 {
		t.Errorf("got %+v", config.Host)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
