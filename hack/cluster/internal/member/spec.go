// Package member is one member of a cluster: a set of namespaces (PID, mount, network, UTS, IPC) that holds the
// control plane or a node. Its first process is this program, which starts the member's units, restarts them, and
// forwards loopback ports of the host into the cluster.
//
// When that first process dies, however it dies, the kernel ends every process of the PID namespace, and with them go
// the mounts, the interfaces and the network namespaces of the pods. So there is one process to record and to end,
// and nothing that a crash could leave behind but files and cgroups.
package member

// Spec is what a member is told when it starts. It reaches it as JSON through a pipe.
type Spec struct {
	Name string `json:"name"`
	// RunDir stands for /run inside, and LogDir for /var/log. RunDir is emptied at each start.
	RunDir string `json:"runDir"`
	LogDir string `json:"logDir"`
	// LibDir stands for /var/lib inside: the kubelet and the CNI library have fixed folders there. Keep are folders
	// of the host that stay visible even where they lie in /var/lib.
	LibDir string   `json:"libDir"`
	Keep   []string `json:"keep,omitempty"`
	// UnitLogs is the folder for the units' output.
	UnitLogs string `json:"unitLogs"`
	// Socket is where the member takes requests; see Ask.
	Socket string `json:"socket"`
	// ResolvConf stands for /etc/resolv.conf inside.
	ResolvConf string `json:"resolvConf"`
	// Sysctls are written to /proc/sys, within the member's network namespace.
	Sysctls map[string]string `json:"sysctls,omitempty"`
	// Pretend are files of /proc/sys that show the given content inside, and swallow what is written to them. The
	// kubelet insists on settings of the kernel that belong to the host; this way the host keeps its own.
	Pretend map[string]string `json:"pretend,omitempty"`
	// DNS is the host:port of the resolver for the targets of forwards.
	DNS   string `json:"dns"`
	Units []Unit `json:"units"`
	// Targets are where connections to the listeners that were passed at the start are forwarded, in their order.
	Targets []string `json:"targets,omitempty"`
}

// Unit is a program that a member keeps running.
type Unit struct {
	Name string   `json:"name"`
	Argv []string `json:"argv"`
	Env  []string `json:"env,omitempty"`
	// After is a file that must exist or a host:port that must accept before the unit starts.
	After string `json:"after,omitempty"`
}

// UnitStatus is what a member knows of a unit.
type UnitStatus struct {
	Name     string `json:"name"`
	Running  bool   `json:"running"`
	Restarts int    `json:"restarts"`
	// LastExit says how it ended the last time.
	LastExit string `json:"lastExit,omitempty"`
}

// Forward is a loopback port of the host that leads into the cluster.
type Forward struct {
	// Listen is the address on the host, Target the host:port inside.
	Listen string `json:"listen"`
	Target string `json:"target"`
}
