// Package layout says where a cluster keeps what: one folder a cluster, one folder a member in it.
package layout

import (
	"fmt"
	"path/filepath"
	"regexp"
)

// ControlName is the member that is the control plane.
const ControlName = "control"

// maxRoot keeps the paths of sockets below the kernel's limit of 107 bytes.
const maxRoot = 60

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$`)

// Cluster is the folder of one cluster.
type Cluster struct {
	Name string
	// Base holds the folders of all clusters.
	Base string
}

// New checks that name can be a cluster's.
func New(base, name string) (Cluster, error) {
	if !validName.MatchString(name) {
		return Cluster{}, fmt.Errorf("%q can't be a cluster's name: use up to 30 of a-z, 0-9 and -, beginning and ending with a letter or digit", name)
	}
	base, err := filepath.Abs(base)
	if err != nil {
		return Cluster{}, fmt.Errorf("finding the state folder: %w", err)
	}
	c := Cluster{Name: name, Base: base}
	if len(c.Root()) > maxRoot {
		return Cluster{}, fmt.Errorf("the folder %s is too long a path for the sockets in it (%d bytes at most): choose a shorter --state or --name", c.Root(), maxRoot)
	}
	return c, nil
}

// Root is the cluster's folder. Lock lies beside it, so that the folder can be removed under the lock.
func (c Cluster) Root() string { return filepath.Join(c.Base, c.Name) }

// Lock is held by whoever changes the cluster.
func (c Cluster) Lock() string { return filepath.Join(c.Base, "."+c.Name+".lock") }

// Record is what the tool remembers of the cluster.
func (c Cluster) Record() string { return filepath.Join(c.Root(), "cluster.json") }

// Kubeconfig is the administrator's, for use on the host.
func (c Cluster) Kubeconfig() string { return filepath.Join(c.Root(), "kubeconfig") }

// Bin holds links to the executables in the cache, and a copy of this program.
func (c Cluster) Bin() string { return filepath.Join(c.Root(), "bin") }

// Executable is one of those in Bin.
func (c Cluster) Executable(name string) string { return filepath.Join(c.Bin(), name) }

// PKI holds keys and certificates.
func (c Cluster) PKI() string { return filepath.Join(c.Root(), "pki") }

// Logs holds a file for each unit of each member.
func (c Cluster) Logs() string { return filepath.Join(c.Root(), "logs") }

// ResolvConf stands for /etc/resolv.conf in members, and is what pods with the node's DNS settings get.
func (c Cluster) ResolvConf() string { return filepath.Join(c.Root(), "resolv.conf") }

// Cgroup is the group, in each hierarchy, that the nodes' groups are in.
func (c Cluster) Cgroup() string { return "/trellis-" + c.Name }

// Member is the folder of the control plane or of a node.
func (c Cluster) Member(name string) Member { return Member{Name: name, cluster: c} }

// Member is the folder of one member.
type Member struct {
	Name    string
	cluster Cluster
}

// Dir is the folder itself, and Path something in it.
func (m Member) Dir() string { return filepath.Join(m.cluster.Root(), m.Name) }

// Path is a file or folder in the member's folder.
func (m Member) Path(parts ...string) string {
	return filepath.Join(append([]string{m.Dir()}, parts...)...)
}

// Identity is the file with the identity of the member's first process.
func (m Member) Identity() string { return m.Path("process.json") }

// Socket is where the member takes requests.
func (m Member) Socket() string { return m.Path("run", "member.sock") }

// Kubeconfig is the file for one of the member's units.
func (m Member) Kubeconfig(user string) string { return m.Path(user + ".kubeconfig") }

// Volumes holds a folder for each provisioned volume.
func (m Member) Volumes() string { return m.Path("volumes") }

// Log is what the member itself has to say.
func (m Member) Log() string { return filepath.Join(m.cluster.Logs(), m.Name+".log") }

// Cgroup is the group that a node's kubelet keeps its pods in.
func (m Member) Cgroup() string { return filepath.Join(m.cluster.Cgroup(), m.Name) }
