//go:build integration

package shards

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/table/kube"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

const (
	processPartitions = 16
	// slowKey is one whose partition the counters are slow to serve.
	slowKey = "slow"
)

// set is a ShardSet of processes: the router and the members of the plane's binary, before sample counters, with the API server.
type set struct {
	t               *testing.T
	dir, kubeconfig string
	namespace, host string
	local           *contracttest.Local
	store           *kube.Store
	router          *running
}

// running is a process of the plane, and may be started again where it was.
type running struct {
	contracttest.Replica
	cmd  *exec.Cmd
	args []string
	env  []string
}

// builds the plane and the counter, as images have them.
func builds(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/trellis-plane", "./examples/sharded-counter")
	cmd.Dir = framework.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
}

// ownAddress is one of this machine's: EndpointSlices have none of the loopback's.
func ownAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Fatal("this machine has no address but the loopback's")
	return ""
}

func newSet(t *testing.T, members ...string) *set {
	t.Helper()
	s := &set{t: t, dir: t.TempDir(), kubeconfig: framework.Kubeconfig(t), host: ownAddress(t)}
	builds(t, s.dir)
	c := client(t)
	s.store, s.namespace = published(t, c)
	contracttest.Write(t, filepath.Join(s.dir, "member"), "the-members-token\n")
	cfg := planeconfig.Config{
		Kind: "ShardSet", Name: "orders",
		Shards: &planeconfig.Shards{
			RingConfigMap: "ring", MoverLease: "mover", ConfigMap: "orders-shs", MembersService: "members", MemberTokenFile: filepath.Join(s.dir, "member"),
			Partitions: processPartitions,
			Key:        planeconfig.ShardKey{Path: "/counters/{key}/{rest...}"},
			Placement:  planeconfig.ShardPlacement{Strategy: "Hash"},
			Router:     planeconfig.ShardRouter{Authentication: "None", Retries: 2},
			Resharding: planeconfig.ShardResharding{Mode: "Hook", ExportPath: "/partitions/{partition}", ImportPath: "/partitions/{partition}", PauseLimit: planeconfig.Duration(20 * time.Second)},
			Container:  planeconfig.ShardContainer{Port: 9000, ReadyPath: "/readyz"},
		},
	}
	for _, id := range members {
		cfg.Shards.Members = append(cfg.Shards.Members, planeconfig.ShardMember{ID: id})
	}
	s.local = contracttest.NewLocal(t, s.dir, cfg, contracttest.Options{Configure: func(c *planeconfig.Config) { c.Namespace = s.namespace }}, nil)
	text, err := planeconfig.Encode(s.local.Config)
	if err != nil {
		t.Fatal(err)
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "orders-shs"}, Data: map[string]string{planeconfig.FileName: string(text)}}
	if _, err := c.CoreV1().ConfigMaps(s.namespace).Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// run a subcommand of the plane as a pod, with a configuration that differs by change.
func (s *set) run(subcommand, pod, uid string, change func(*planeconfig.Config)) *running {
	s.t.Helper()
	cfg := s.local.Config
	shards := *cfg.Shards
	cfg.Shards = &shards
	cfg.HTTP.Address = net.JoinHostPort(s.host, strconv.Itoa(enginetest.Port(s.t, s.host)))
	cfg.HTTP.AdminAddress = net.JoinHostPort("127.0.0.1", strconv.Itoa(enginetest.Port(s.t, "127.0.0.1")))
	change(&cfg)
	text, err := planeconfig.Encode(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.t.TempDir(), planeconfig.FileName)
	contracttest.Write(s.t, file, string(text))
	r := &running{
		Replica: contracttest.Replica{URL: "http://" + cfg.HTTP.Address, Admin: "http://" + cfg.HTTP.AdminAddress},
		args:    []string{filepath.Join(s.dir, "trellis-plane"), subcommand, "--config=" + file},
		env:     append(os.Environ(), "KUBECONFIG="+s.kubeconfig, "POD_NAME="+pod, "POD_UID="+uid),
	}
	r.start(s.t)
	s.t.Cleanup(func() { _ = r.end(syscall.SIGKILL) })
	return r
}

func (r *running) start(t *testing.T) {
	t.Helper()
	r.cmd = exec.Command(r.args[0], r.args[1:]...)
	r.cmd.Env, r.cmd.Stderr = r.env, os.Stderr
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

// end it by a signal. The error is that of a process that did not end by itself, or not well.
func (r *running) end(signal syscall.Signal) error {
	if r.cmd == nil {
		return nil
	}
	_ = r.cmd.Process.Signal(signal)
	err := r.cmd.Wait()
	r.cmd = nil
	return err
}

// counter starts the container of a shard, and says at which port.
func (s *set) counter(shard, data string) int {
	s.t.Helper()
	port := enginetest.Port(s.t, "127.0.0.1")
	c := &running{args: []string{filepath.Join(s.dir, "sharded-counter")}, env: append(os.Environ(), "DATA="+data, "TRELLIS_SHARD="+shard,
		"LISTEN=127.0.0.1:"+strconv.Itoa(port), fmt.Sprintf("FAULTS=%d:slow", ring.PartitionOf(slowKey, processPartitions)))}
	c.start(s.t)
	s.t.Cleanup(func() { _ = c.end(syscall.SIGKILL) })
	return port
}

// shard starts a member before a counter, and has the EndpointSlices show it, as the cluster does.
func (s *set) shard(id, uid string, container int) *running {
	s.t.Helper()
	r := s.run("shard", id, uid, func(c *planeconfig.Config) { c.Shards.Container.Port = container })
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(r.URL, "http://"))
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		s.t.Fatal(err)
	}
	known := client(s.t).DiscoveryV1().EndpointSlices(s.namespace)
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "members-" + id, Labels: map[string]string{discoveryv1.LabelServiceName: "members"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To(kube.PortName), Port: ptr.To(int32(number))}},
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{s.host}, Hostname: ptr.To(id), Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(false)},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: id, UID: types.UID(uid)},
		}},
	}
	if _, err := known.Update(s.t.Context(), slice, metav1.UpdateOptions{}); err != nil {
		if _, err = known.Create(s.t.Context(), slice, metav1.CreateOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
	return r
}

// count asks the router for a key's counter.
func (s *set) count(method, key, verb string) (value int, member string, err error) {
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.router.URL+"/counters/"+key+"/"+verb, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return 0, "", fmt.Errorf("%s of %s: %d %s, %w", verb, key, resp.StatusCode, body, err)
	}
	var out struct {
		Value  int
		Member string
	}
	return out.Value, out.Member, json.Unmarshal(body, &out)
}

// all counters of the test, as the router tells them: their values, and who has them.
func (s *set) all() (map[string]int, map[string]string) {
	s.t.Helper()
	values, members := map[string]int{}, map[string]string{}
	for i := range 24 {
		key := fmt.Sprintf("key-%d", i)
		value, member, err := s.count(http.MethodGet, key, "value")
		if err != nil {
			s.t.Fatal(err)
		}
		values[key], members[key] = value, member
	}
	return values, members
}

func (s *set) state() table.State {
	s.t.Helper()
	state, _, err := s.store.Read(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

// same holds what there is to what there was.
func (s *set) same(values map[string]int, members map[string]string, owners ring.Table) {
	s.t.Helper()
	nowValues, nowMembers := s.all()
	if diff := cmp.Diff(values, nowValues) + cmp.Diff(members, nowMembers); diff != "" {
		s.t.Errorf("the counters changed (-want +got):\n%s", diff)
	}
	if moved := ring.Diff(owners, s.state().Table); len(moved) > 0 {
		s.t.Errorf("%v moved", moved)
	}
}

// TestProcesses are what pods run: they become ready, serve, end in order, and begin again with all that they had.
func TestProcesses(t *testing.T) {
	s := newSet(t, "orders-shs-0", "orders-shs-1")
	dataOf := func(id string) string { return filepath.Join(s.dir, "data-"+id) }
	counters, shards := map[string]int{}, map[string]*running{}
	for _, id := range []string{"orders-shs-0", "orders-shs-1"} {
		counters[id] = s.counter(id, dataOf(id))
		shards[id] = s.shard(id, id+"-first", counters[id])
	}
	s.router = s.run("shard-set", "orders-shs-router-x", "router", func(*planeconfig.Config) {})
	for _, r := range []*running{shards["orders-shs-0"], shards["orders-shs-1"], s.router} {
		contracttest.AwaitReady(t, &r.Replica)
	}
	for i := range 24 {
		if _, _, err := s.count(http.MethodPost, fmt.Sprintf("key-%d", i), "increment"); err != nil {
			t.Fatal(err)
		}
	}
	values, members := s.all()
	owners := s.state().Table
	if len(slices.Compact(slices.Sorted(maps.Values(members)))) != 2 {
		t.Fatalf("the counters are %v's", members)
	}

	t.Run("a member that is killed has all it had when it is back", func(t *testing.T) {
		r := shards["orders-shs-0"]
		_ = r.end(syscall.SIGKILL)
		r.start(t)
		contracttest.AwaitReady(t, &r.Replica)
		s.same(values, members, owners)
	})
	t.Run("another pod of the name goes on on its data", func(t *testing.T) {
		_ = shards["orders-shs-0"].end(syscall.SIGKILL)
		shards["orders-shs-0"] = s.shard("orders-shs-0", "orders-shs-0-second", counters["orders-shs-0"])
		contracttest.AwaitReady(t, &shards["orders-shs-0"].Replica)
		if diff := cmp.Diff([]string{"orders-shs-0-second", "orders-shs-0-first"}, s.state().Incarnations["orders-shs-0"]); diff != "" {
			t.Errorf("its pods (-want +got):\n%s", diff)
		}
		s.same(values, members, owners)
	})
	t.Run("SIGTERM lets what is in flight end", func(t *testing.T) {
		owner, _ := owners.Serving(ring.PartitionOf(slowKey, processPartitions))
		r := shards[owner.ID]
		// Each takes a second, so that some are in flight at any time.
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var clients sync.WaitGroup
		var counted atomic.Int64
		for range 3 {
			clients.Go(func() {
				for ctx.Err() == nil {
					if _, _, err := s.count(http.MethodPost, slowKey, "increment"); err != nil {
						t.Error(err)
						return
					}
					counted.Add(1)
				}
			})
		}
		contracttest.Eventually(t, "a first answer", func() bool { return counted.Load() > 0 })
		if err := r.end(syscall.SIGTERM); err != nil {
			t.Errorf("the member ended with %v", err)
		}
		r.start(t)
		contracttest.AwaitReady(t, &r.Replica)
		stop()
		clients.Wait()
		if value, _, err := s.count(http.MethodGet, slowKey, "value"); err != nil || value != int(counted.Load()) {
			t.Errorf("%d increments were answered, and the counter is %d, %v", counted.Load(), value, err)
		}
		s.same(values, members, owners)
	})
	t.Run("a router ends in order, and the next one goes on", func(t *testing.T) {
		if err := s.router.end(syscall.SIGTERM); err != nil {
			t.Errorf("the router ended with %v", err)
		}
		s.router.start(t)
		contracttest.AwaitReady(t, &s.router.Replica)
		s.same(values, members, owners)
	})
}
