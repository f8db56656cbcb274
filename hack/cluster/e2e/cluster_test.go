//go:build cluster

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const probeImage = "ghcr.io/trellis-dev/probe:test"

// restricted is what the restricted Pod Security Standard demands.
const restricted = `securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}`

const restrictedContainer = `securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}`

// probeOn is a Deployment of one probe on a node, with a claim, and its Service.
func probeOn(node string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-%[1]s}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Mi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: probe-%[1]s}
spec:
  replicas: 1
  strategy: {type: Recreate}
  selector: {matchLabels: {app: probe-%[1]s}}
  template:
    metadata: {labels: {app: probe-%[1]s, any: probe}}
    spec:
      nodeSelector: {kubernetes.io/hostname: %[1]s}
      terminationGracePeriodSeconds: 1
      %[3]s
      containers:
      - name: probe
        image: %[2]s
        imagePullPolicy: IfNotPresent
        env: [{name: POD_NAME, value: probe-%[1]s}]
        ports: [{containerPort: 8080, name: http}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        %[4]s
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data-%[1]s}}]
---
apiVersion: v1
kind: Service
metadata: {name: probe-%[1]s}
spec: {selector: {app: probe-%[1]s}, ports: [{name: http, port: 80, targetPort: http}]}
---
`, node, probeImage, restricted, restrictedContainer)
}

const valkeyPod = `
apiVersion: v1
kind: Pod
metadata: {name: valkey, labels: {app: valkey}}
spec:
  securityContext: {runAsNonRoot: true, runAsUser: 999, fsGroup: 999, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: valkey
    image: docker.io/valkey/valkey:8.1
    imagePullPolicy: IfNotPresent
    command: [valkey-server, --save, "", --dir, /data]
    readinessProbe: {exec: {command: [valkey-cli, ping]}, periodSeconds: 1}
    ` + restrictedContainer + `
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, emptyDir: {}}]
`

// TestTwoNodes is the life of a cluster: what its users rely on, what it survives, and that it leaves nothing.
func TestTwoNodes(t *testing.T) {
	before := readHost(t)
	c := newTool(t, "two")
	c.run("up", "--nodes", "2")
	c.loadProbe()
	c.mustKubectl("", "label", "namespace", "default", "pod-security.kubernetes.io/enforce=restricted")
	c.mustKubectl(probeOn("node1")+probeOn("node2")+valkeyPod, "apply", "-f", "-")
	c.mustKubectl("", "wait", "--for=condition=Available", "--timeout=60s", "deployment", "--all")
	c.mustKubectl("", "wait", "--for=condition=Ready", "--timeout=60s", "pod/valkey")
	first := c.run("forward", "default/probe-node1", "http")
	second := c.run("forward", "default/probe-node2", "80")

	t.Run("network", func(t *testing.T) { testNetwork(t, c, first, second) })
	t.Run("volumes", func(t *testing.T) { testVolumes(t, c, first) })
	t.Run("API server dies", func(t *testing.T) { testUnitDies(t, c, "kube-apiserver") })
	t.Run("side by side", func(t *testing.T) { testSideBySide(t, c) })
	t.Run("a node dies", func(t *testing.T) { testNodeDies(t, c, second) })
	t.Run("the control plane dies", func(t *testing.T) { testControlDies(t, c, first) })
	t.Run("deletion", func(t *testing.T) { testDeletion(t, c) })

	c.run("down")
	assertNothingLeft(t, c, before)
}

// loadProbe assembles the probe's image by the tool's own means and imports it.
func (c *tool) loadProbe() {
	c.t.Helper()
	dir := c.t.TempDir()
	binary, tar := filepath.Join(dir, "probe"), filepath.Join(dir, "probe.tar")
	goBuild(c.t, binary, "./probe")
	c.run("image", "--image", probeImage, "--binary", binary+"=/probe", "--out", tar)
	c.run("load", tar)
}

func testNetwork(t *testing.T, c *tool, first, second string) {
	ip := func(node string) string {
		return c.mustKubectl("", "get", "pod", "-l", "app=probe-"+node, "-o", "jsonpath={.items[0].status.podIP}")
	}
	eventually(t, "forward to a Service", answers("probe-node1", first, "/"))
	eventually(t, "forward to a Service of the other node", answers("probe-node2", second, "/"))
	eventually(t, "pod to pod across nodes", answers("probe-node2", first, "/fetch", "url", "http://"+ip("node2")+":8080/"))
	eventually(t, "and back", answers("probe-node1", second, "/fetch", "url", "http://"+ip("node1")+":8080/"))
	eventually(t, "pod to Service by name", answers("probe-node2", first, "/fetch", "url", "http://probe-node2.default.svc/"))
	eventually(t, "pod to its own Service", answers("probe-node1", first, "/fetch", "url", "http://probe-node1/"))
	if _, err := ask(first, "/lookup", "name", "trellis.invalid"); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("a name that isn't the cluster's: want no such host, got %v", err)
	}
	// 198.51.100.0/24 is set aside for documentation: nobody has these addresses. The pod must not even have a way there.
	began := time.Now()
	_, err := ask(first, "/fetch", "url", "http://198.51.100.1/")
	if err == nil || !strings.Contains(err.Error(), "unreachable") && !strings.Contains(err.Error(), "no route") {
		t.Errorf("an address beyond the cluster: want unreachable, got %v after %s", err, time.Since(began))
	}
	if again := c.run("forward", "default/probe-node1", "80"); again != first {
		t.Errorf("asking for a forward again gave %s, not %s", again, first)
	}
}

func testVolumes(t *testing.T, c *tool, first string) {
	eventually(t, "write to a volume", answers("written", first, "/write", "path", "/data/note", "text", "kept"))
	c.mustKubectl("", "delete", "pod", "-l", "app=probe-node1", "--wait=true")
	eventually(t, "read from the volume after the pod's death, by the same forward", answers("kept", first, "/read", "path", "/data/note"))
	testGrowth(t, c)
	eventually(t, "read from the volume after its growth", answers("kept", first, "/read", "path", "/data/note"))
}

// testGrowth has the claim of a running pod grow, once allowed to, and nothing else change.
func testGrowth(t *testing.T, c *tool) {
	pods := func() string {
		return c.mustKubectl("", "get", "pods", "--selector=app=probe-node1", "--output=jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[*].restartCount}")
	}
	before := pods()
	grow := func(args ...string) error {
		_, err := c.kubectl("", append([]string{"patch", "pvc", "data-node1", "--patch",
			`{"spec": {"resources": {"requests": {"storage": "20Mi"}}}}`}, args...)...)
		return err
	}
	c.mustKubectl("", "patch", "storageclass", "standard", "--patch", `{"allowVolumeExpansion": false}`)
	eventually(t, "a StorageClass that does not allow it", func() error {
		err := grow("--dry-run=server")
		if err == nil {
			return errors.New("it is allowed")
		}
		if !strings.Contains(err.Error(), "forbidden") {
			return fmt.Errorf("it is refused, and not as forbidden: %w", err)
		}
		return nil
	})
	c.mustKubectl("", "patch", "storageclass", "standard", "--patch", `{"allowVolumeExpansion": true}`)
	eventually(t, "a StorageClass that allows it", func() error { return grow() })
	eventually(t, "claim and volume say the new size", func() error {
		got := c.mustKubectl("", "get", "pvc", "data-node1", "--output=jsonpath={.status.capacity.storage}{.status.conditions[?(@.status=='True')].type}")
		got += " " + c.mustKubectl("", "get", "pv", "--output=jsonpath={.items[?(@.spec.claimRef.name=='data-node1')].spec.capacity.storage}")
		if got != "20Mi 20Mi" {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
	if after := pods(); after != before {
		t.Errorf("the pod was not left alone: %s became %s", before, after)
	}
}

// testUnitDies kills a unit as a crash would, and waits for its member to start it again.
func testUnitDies(t *testing.T, c *tool, unit string) {
	pid := c.pidOf(t, "bin/"+unit)
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, unit+" runs again", func() error {
		if c.pidOf(t, "bin/"+unit) == pid {
			return errors.New("it has not ended yet")
		}
		_, err := c.kubectl("", "get", "nodes")
		return err
	})
}

// pidOf finds the process of this cluster whose program is the given file in the cluster's folder; 0 if there is none.
func (c *tool) pidOf(t *testing.T, file string) int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		data, err := os.ReadFile(path)
		var pid int
		if err == nil && strings.HasPrefix(string(data), filepath.Join(c.root(), file)+"\x00") {
			if _, err := fmt.Sscanf(path, "/proc/%d/", &pid); err == nil {
				return pid
			}
		}
	}
	return 0
}

func testSideBySide(t *testing.T, c *tool) {
	before := readHost(t)
	other := newTool(t, "beside")
	other.run("up")
	if got := other.mustKubectl("", "get", "nodes", "-o", "name"); got != "node/node1" {
		t.Errorf("the other cluster's nodes: %s", got)
	}
	if got := c.mustKubectl("", "get", "nodes", "-o", "name"); got != "node/node1\nnode/node2" {
		t.Errorf("this cluster's nodes: %s", got)
	}
	other.run("down")
	assertNothingLeft(t, other, before)
	c.run("status")
}

// testNodeDies ends a node as a whole, the way a power cut would, and has the tool bring it back with its volumes.
func testNodeDies(t *testing.T, c *tool, second string) {
	if got, err := ask(second, "/write", "path", "/data/note", "text", "kept too"); err != nil || got != "written" {
		t.Fatalf("writing to a volume: %q, %v", got, err)
	}
	endMember(t, c, "node2")
	if _, err := c.try("status"); err == nil {
		t.Error("status says nothing of a dead node")
	}
	c.run("up")
	eventually(t, "the node's pods are back, with their volume", answers("kept too", second, "/read", "path", "/data/note"))
	c.run("status")
}

// testControlDies ends the control plane, and with it everything, as the machine's restart would.
func testControlDies(t *testing.T, c *tool, first string) {
	uid := c.mustKubectl("", "get", "namespace", "default", "-o", "jsonpath={.metadata.uid}")
	endMember(t, c, "control")
	c.run("up")
	if again := c.mustKubectl("", "get", "namespace", "default", "-o", "jsonpath={.metadata.uid}"); again != uid {
		t.Errorf("the API forgot what it knew: the namespace %s became %s", uid, again)
	}
	eventually(t, "the pods are back, by the same forward", answers("kept", first, "/read", "path", "/data/note"))
}

func testDeletion(t *testing.T, c *tool) {
	folders := func() []string {
		found, _ := filepath.Glob(filepath.Join(c.root(), "node*", "volumes", "*"))
		return found
	}
	if got := folders(); len(got) != 2 {
		t.Errorf("there are two volumes, but the folders %v", got)
	}
	c.mustKubectl("", "delete", "deployment,pvc", "--all", "--wait=true")
	eventually(t, "the volumes' folders are removed", func() error {
		if left := folders(); len(left) > 0 {
			return fmt.Errorf("%v", left)
		}
		return nil
	})
}
