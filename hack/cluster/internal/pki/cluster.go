package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
	"github.com/trellis-dev/trellis/hack/cluster/internal/wholefile"
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
	return ensureServiceAccountKey(filepath.Join(dir, "service-accounts"))
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

// ensureServiceAccountKey makes the pair that signs and checks the tokens of service accounts: NAME.key and NAME.pub.
func ensureServiceAccountKey(base string) error {
	if _, err := os.Stat(base + ".key"); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the service accounts' key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encoding the service accounts' key: %w", err)
	}
	if err := wholefile.Write(base+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o644); err != nil {
		return err
	}
	return writeKey(base+".key", key)
}
