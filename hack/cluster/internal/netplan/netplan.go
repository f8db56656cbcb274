// Package netplan plans the addresses of a cluster. Every cluster uses the same ones: its namespaces are joined to
// each other and to nothing else, so two clusters never see one another, nor the host.
package netplan

import (
	"fmt"
	"net/netip"
)

// MaxNodes bounds the plan; a machine that could carry more has kind.
const MaxNodes = 9

// The addresses that no node's number changes.
var (
	NodeRange    = netip.MustParsePrefix("10.90.0.0/24")
	PodRange     = netip.MustParsePrefix("10.244.0.0/16")
	ServiceRange = netip.MustParsePrefix("10.96.0.0/16")
	// Control is the address of the control plane's namespace.
	Control = netip.MustParseAddr("10.90.0.1")
	// KubernetesService is the first address of ServiceRange, which kube-apiserver takes for itself.
	KubernetesService = netip.MustParseAddr("10.96.0.1")
	// DNSService is where CoreDNS is reached.
	DNSService = netip.MustParseAddr("10.96.0.10")
)

// Domain is the cluster's DNS domain; APIPort is kube-apiserver's port in the control namespace.
const (
	Domain  = "cluster.local"
	APIPort = 6443
)

// APIAddress is where kube-apiserver listens inside the cluster.
func APIAddress() string { return netip.AddrPortFrom(Control, APIPort).String() }

// Node is the plan of one node.
type Node struct {
	// Number counts from 1.
	Number  int
	Name    string
	Address netip.Addr
	Pods    netip.Prefix
}

// Nodes plans n nodes.
func Nodes(n int) ([]Node, error) {
	if n < 1 || n > MaxNodes {
		return nil, fmt.Errorf("a cluster has 1 to %d nodes, not %d", MaxNodes, n)
	}
	nodes := make([]Node, n)
	for i := range nodes {
		number := i + 1
		nodes[i] = Node{
			Number:  number,
			Name:    fmt.Sprintf("node%d", number),
			Address: netip.AddrFrom4([4]byte{10, 90, 0, byte(10 + number)}),
			Pods:    netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(number), 0}), 24),
		}
	}
	return nodes, nil
}

// Route says how a range of addresses is reached.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// RoutesOfControl lead to the pods of each node, and to Services by way of the first node, whose kube-proxy
// translates them.
func RoutesOfControl(nodes []Node) []Route {
	routes := []Route{{ServiceRange, nodes[0].Address}}
	for _, n := range nodes {
		routes = append(routes, Route{n.Pods, n.Address})
	}
	return routes
}

// RoutesOfNode lead to the pods of the other nodes. The route for Services only lets a process of the node itself
// open a connection: kube-proxy rewrites the address before a packet goes that way. There is no default route.
func RoutesOfNode(self Node, nodes []Node) []Route {
	routes := []Route{{ServiceRange, Control}}
	for _, n := range nodes {
		if n.Number != self.Number {
			routes = append(routes, Route{n.Pods, n.Address})
		}
	}
	return routes
}
