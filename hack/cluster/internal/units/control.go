// Package units writes the command lines and configuration files of the programs that make up a cluster. It knows
// their flags and starts nothing.
package units

import (
	"fmt"
	"path/filepath"

	"github.com/trellis-dev/trellis/hack/cluster/internal/layout"
	"github.com/trellis-dev/trellis/hack/cluster/internal/member"
	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
	"github.com/trellis-dev/trellis/hack/cluster/internal/pki"
)

const etcdAddress = "127.0.0.1:2379"

// ProvisionerCommand is the hidden subcommand of this program that provisions volumes.
const ProvisionerCommand = "provisioner"

// ControlUsers are the users of the control plane that need a kubeconfig.
func ControlUsers() []string { return []string{pki.ControllerManager, pki.Scheduler, pki.Provisioner} }

// Control returns the units of the control plane.
func Control(c layout.Cluster) []member.Unit {
	m := c.Member(layout.ControlName)
	return []member.Unit{
		{Name: "etcd", Argv: etcd(c, m)},
		{Name: "kube-apiserver", Argv: apiserver(c, m), After: etcdAddress},
		{Name: "kube-controller-manager", Argv: controllerManager(c, m), After: netplan.APIAddress()},
		{Name: "kube-scheduler", Argv: scheduler(c, m), After: netplan.APIAddress()},
		{Name: "provisioner", After: netplan.APIAddress(), Argv: []string{c.Executable("trellis-cluster"), ProvisionerCommand,
			"--name", c.Name, "--state", c.Base, "--kubeconfig", m.Kubeconfig(pki.Provisioner)}},
	}
}

// etcd does without fsync: a cluster of this kind outlives its processes, but not the machine's power.
func etcd(c layout.Cluster, m layout.Member) []string {
	return []string{c.Executable("etcd"), "--name=default", "--data-dir=" + m.Path("etcd"),
		"--listen-client-urls=http://" + etcdAddress, "--advertise-client-urls=http://" + etcdAddress,
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=default=http://127.0.0.1:2380",
		"--unsafe-no-fsync=true", "--auto-compaction-mode=periodic", "--auto-compaction-retention=10m",
		"--log-level=warn"}
}

func apiserver(c layout.Cluster, m layout.Member) []string {
	key := func(name string) string { return filepath.Join(c.PKI(), name) }
	return []string{c.Executable("kube-apiserver"),
		"--etcd-servers=http://" + etcdAddress,
		"--advertise-address=" + netplan.Control.String(), fmt.Sprintf("--secure-port=%d", netplan.APIPort),
		"--cert-dir=" + m.Path("apiserver"),
		"--tls-cert-file=" + key("kube-apiserver.crt"), "--tls-private-key-file=" + key("kube-apiserver.key"),
		"--client-ca-file=" + key("ca.crt"),
		"--kubelet-certificate-authority=" + key("ca.crt"),
		"--kubelet-client-certificate=" + key("kube-apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + key("kube-apiserver-kubelet-client.key"),
		// Node names are in no DNS; by default they would be looked up for logs and exec.
		"--kubelet-preferred-address-types=InternalIP",
		"--service-cluster-ip-range=" + netplan.ServiceRange.String(),
		"--service-account-issuer=https://kubernetes.default.svc." + netplan.Domain,
		"--service-account-key-file=" + key("service-accounts.pub"),
		"--service-account-signing-key-file=" + key("service-accounts.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--requestheader-client-ca-file=" + key("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + key("front-proxy-client.crt"),
		"--proxy-client-key-file=" + key("front-proxy-client.key"),
		// There is no kube-proxy in this namespace: aggregated servers are reached at their pods.
		"--enable-aggregator-routing=true",
		"--profiling=false"}
}

// Neither elects a leader: there is one of each, and a slow disk must not make it give up.
func controllerManager(c layout.Cluster, m layout.Member) []string {
	key := func(name string) string { return filepath.Join(c.PKI(), name) }
	args := append([]string{c.Executable("kube-controller-manager")}, clientFlags(m, pki.ControllerManager)...)
	return append(args,
		"--cert-dir="+m.Path("controller-manager"),
		"--cluster-cidr="+netplan.PodRange.String(), "--service-cluster-ip-range="+netplan.ServiceRange.String(),
		"--allocate-node-cidrs=false",
		"--root-ca-file="+key("ca.crt"), "--service-account-private-key-file="+key("service-accounts.key"),
		"--cluster-signing-cert-file="+key("ca.crt"), "--cluster-signing-key-file="+key("ca.key"),
		"--client-ca-file="+key("ca.crt"), "--requestheader-client-ca-file="+key("front-proxy-ca.crt"),
		"--use-service-account-credentials=true")
}

func scheduler(c layout.Cluster, m layout.Member) []string {
	args := append([]string{c.Executable("kube-scheduler")}, clientFlags(m, pki.Scheduler)...)
	return append(args, "--cert-dir="+m.Path("scheduler"))
}

func clientFlags(m layout.Member, user string) []string {
	config := m.Kubeconfig(user)
	return []string{"--kubeconfig=" + config, "--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config, "--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false"}
}
