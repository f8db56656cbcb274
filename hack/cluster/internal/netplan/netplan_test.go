package netplan

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNodes(t *testing.T) {
	nodes, err := Nodes(2)
	if err != nil {
		t.Fatal(err)
	}
	want := []Node{
		{1, "node1", netip.MustParseAddr("10.90.0.11"), netip.MustParsePrefix("10.244.1.0/24")},
		{2, "node2", netip.MustParseAddr("10.90.0.12"), netip.MustParsePrefix("10.244.2.0/24")},
	}
	if diff := cmp.Diff(want, nodes, cmp.Comparer(func(a, b Node) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, n := range []int{-1, 0, MaxNodes + 1} {
		if _, err := Nodes(n); err == nil {
			t.Errorf("%d nodes were planned", n)
		}
	}
}

// Every address belongs to one thing only, for as many nodes as there may be.
func TestNoAddressIsPlannedTwice(t *testing.T) {
	nodes, err := Nodes(MaxNodes)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[netip.Addr]string{Control: "control"}
	for _, n := range nodes {
		if other, taken := seen[n.Address]; taken {
			t.Errorf("%s has the address of %s", n.Name, other)
		}
		seen[n.Address] = n.Name
		if !NodeRange.Contains(n.Address) || !PodRange.Overlaps(n.Pods) {
			t.Errorf("%+v lies outside of its range", n)
		}
		for _, m := range nodes {
			if m != n && m.Pods.Overlaps(n.Pods) {
				t.Errorf("the pods of %s and %s overlap", n.Name, m.Name)
			}
		}
	}
	if PodRange.Overlaps(ServiceRange) || PodRange.Overlaps(NodeRange) || ServiceRange.Overlaps(NodeRange) {
		t.Error("two ranges overlap")
	}
}

// No route leads anywhere but to the cluster's own ranges, and none is a default route.
func TestRoutesStayInside(t *testing.T) {
	nodes, err := Nodes(3)
	if err != nil {
		t.Fatal(err)
	}
	routes := append(RoutesOfControl(nodes), RoutesOfNode(nodes[0], nodes)...)
	for _, r := range routes {
		inside := r.To == ServiceRange || PodRange.Overlaps(r.To) && r.To.Bits() > PodRange.Bits()
		if !inside || !NodeRange.Contains(r.Via) {
			t.Errorf("%+v leads out of the cluster", r)
		}
	}
	for _, r := range RoutesOfNode(nodes[1], nodes) {
		if r.To == nodes[1].Pods {
			t.Error("a node has a route to its own pods by way of another")
		}
	}
}
