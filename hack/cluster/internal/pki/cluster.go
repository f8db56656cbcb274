package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
)

// Users that get a kubeconfig; each has USER.crt and USER.key.
const (
	Admin             = "admin"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Proxy             = "kube-proxy"
	Provisioner       = "provisioner"
)

// Kubelet is the user of a node's kubelet.
func Kubelet(node string) string { return "kubelet-" + node }

// Ensure makes whatever the folder lacks for a control plane and the given nodes. Nodes may be added later.
func Ensure(dir string, nodes []netplan.Node) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the folder of keys: %w", err)
	}
	ca, err := ensureAuthority(dir, "ca")
	if err != nil {
		return err
	}
	for name, leaf := range clusterLeaves(nodes) {
		if err := ca.Issue(dir, name, leaf); err != nil {
			return err
		}
	}
	front, err := ensureAuthority(dir, "front-proxy-ca")
	if err != nil {
		return err
	}
	if err := front.Issue(dir, "front-proxy-client", Leaf{CommonName: "front-proxy-client"}); err != nil {
		return err
	}
	return ensureServiceAccountKey(filepath.Join(dir, "service-accounts.key"))
}

func clusterLeaves(nodes []netplan.Node) map[string]Leaf {
	masters := []string{"system:masters"}
	leaves := map[string]Leaf{
		"kube-apiserver": {CommonName: "kube-apiserver",
			Names: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc." + netplan.Domain},
			IPs: []net.IP{net.IPv4(127, 0, 0, 1), netplan.Control.AsSlice(), netplan.KubernetesService.AsSlice()}},
		"kube-apiserver-kubelet-client": {CommonName: "kube-apiserver-kubelet-client", Organizations: masters},
		Admin:                           {CommonName: "kubernetes-admin", Organizations: masters},
		ControllerManager:               {CommonName: "system:kube-controller-manager"},
		Scheduler:                       {CommonName: "system:kube-scheduler"},
		Proxy:                           {CommonName: "system:kube-proxy"},
		Provisioner:                     {CommonName: "trellis:provisioner"},
	}
	for _, n := range nodes {
		leaves[Kubelet(n.Name)] = Leaf{CommonName: "system:node:" + n.Name, Organizations: []string{"system:nodes"},
			Names: []string{n.Name}, IPs: []net.IP{n.Address.AsSlice()}}
	}
	return leaves
}

// ensureServiceAccountKey makes the key that signs the tokens of service accounts.
func ensureServiceAccountKey(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the service accounts' key: %w", err)
	}
	return writeKey(path, key)
}
