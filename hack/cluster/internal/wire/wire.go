// Package wire joins the network namespaces of a cluster's members. The control plane's namespace holds a bridge; each
// node has a pair of virtual interfaces, one end on that bridge and the other inside, both made where they belong. No
// interface is ever made in the host's namespace, and none leads to it.
package wire

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
)

const (
	bridgeName = "nodes"
	uplinkName = "eth0"
)

// Control sets up the namespace of the control plane, whose first process is pid.
func Control(pid int) error {
	h, err := open(pid)
	if err != nil {
		return err
	}
	defer h.Close()
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}}
	if err := h.LinkAdd(bridge); err != nil {
		return fmt.Errorf("making the bridge: %w", err)
	}
	if err := raise(h, bridgeName, netplan.Control); err != nil {
		return err
	}
	all, err := netplan.Nodes(netplan.MaxNodes)
	if err != nil {
		return err
	}
	return addRoutes(h, bridgeName, netplan.RoutesOfControl(all))
}

// Node joins a node's namespace to the bridge in the control plane's. The routes are those to every node that there
// could be, so that a node which comes later finds them.
func Node(controlPID, pid int, node netplan.Node) error {
	if err := plug(controlPID, pid, node.Name); err != nil {
		return fmt.Errorf("joining %s to the bridge: %w", node.Name, err)
	}
	h, err := open(pid)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := raise(h, uplinkName, node.Address); err != nil {
		return err
	}
	all, err := netplan.Nodes(netplan.MaxNodes)
	if err != nil {
		return err
	}
	return addRoutes(h, uplinkName, netplan.RoutesOfNode(node, all))
}

func plug(controlPID, pid int, name string) error {
	h, err := open(controlPID)
	if err != nil {
		return err
	}
	defer h.Close()
	if old, err := h.LinkByName(name); err == nil { // of a node that died a moment ago
		if err := h.LinkDel(old); err != nil {
			return fmt.Errorf("removing its old interface: %w", err)
		}
	}
	bridge, err := h.LinkByName(bridgeName)
	if err != nil {
		return fmt.Errorf("finding the bridge: %w", err)
	}
	pair := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: name, MasterIndex: bridge.Attrs().Index},
		PeerName:      uplinkName,
		PeerNamespace: netlink.NsPid(pid),
	}
	if err := h.LinkAdd(pair); err != nil {
		return fmt.Errorf("making a pair of interfaces: %w", err)
	}
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("finding the new interface: %w", err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("raising the new interface: %w", err)
	}
	return nil
}

func open(pid int) (*netlink.Handle, error) {
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return nil, fmt.Errorf("opening the network namespace of process %d: %w", pid, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return nil, fmt.Errorf("entering the network namespace of process %d: %w", pid, err)
	}
	return h, nil
}

// raise brings up the loopback interface, and the named one with its address.
func raise(h *netlink.Handle, name string, address netip.Addr) error {
	for _, n := range []string{"lo", name} {
		link, err := h.LinkByName(n)
		if err != nil {
			return fmt.Errorf("finding the interface %s: %w", n, err)
		}
		if n == name {
			if err := h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(address, netplan.NodeRange.Bits()))}); err != nil {
				return fmt.Errorf("giving %s its address: %w", n, err)
			}
		}
		if err := h.LinkSetUp(link); err != nil {
			return fmt.Errorf("raising the interface %s: %w", n, err)
		}
	}
	return nil
}

func addRoutes(h *netlink.Handle, via string, routes []netplan.Route) error {
	link, err := h.LinkByName(via)
	if err != nil {
		return fmt.Errorf("finding the interface %s: %w", via, err)
	}
	for _, r := range routes {
		err := h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(r.To), Gw: r.Via.AsSlice()})
		if err != nil && !os.IsExist(err) {
			return fmt.Errorf("adding the route to %s: %w", r.To, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
