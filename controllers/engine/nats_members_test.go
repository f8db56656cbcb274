package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// natsAccounts stands for what the init container signs: a consumer's account, and the servers' own.
const natsAccounts = `accounts { APP: { jetstream: enabled, users: [ { user: app, password: app } ] }, SYS: { users: [ { user: sys, password: sys } ] } }
system_account: SYS
`

// natsMembers runs the members of an Engine by the files and the command of its plan, with this machine's
// folders, ports and addresses in place of a pod's.
func natsMembers(t *testing.T, n int32) *enginetest.NATSCluster {
	t.Helper()
	e := makeEngine(func(s *v1alpha1.EngineSpec) { s.Type = v1alpha1.EngineNATS })
	r := Request{Owner: owner(e), Replicas: n, Storage: mergedStorage(), ClusterDomain: "cluster.local"}
	var config, routes string
	for _, child := range (natsDriver{}).Provision(r) {
		switch o := child.Object.(type) {
		case *corev1.ConfigMap:
			config = o.Data["nats.conf"]
		case *corev1.Secret:
			routes = strings.ReplaceAll(string(o.Data["routes.conf"]), "${routePassword}", "of-the-routes")
		}
	}
	command := natsServer(r).Command
	return enginetest.NATSFrom(t, int(n), func(c *enginetest.NATSCluster, i int) []string {
		m := c.Members[i]
		here := []string{"/data/", m.Folder + "/data/", "port: 4222", fmt.Sprintf("listen: %q", m.Address()), "http_port: 8222",
			fmt.Sprintf("http: \"127.0.0.1:%d\"", m.Monitor), "port: 6222", fmt.Sprintf("listen: \"127.0.0.1:%d\"", m.Route)}
		for j, host := range members(r) {
			if j < len(c.Members) {
				here = append(here, host+":6222", fmt.Sprintf("127.0.0.1:%d", c.Members[j].Route))
			}
		}
		replace := strings.NewReplacer(here...)
		m.Write("config/nats.conf", replace.Replace(config))
		m.Write("accounts/"+planeconfig.NATSAccountsFile, natsAccounts)
		m.Write("routes/routes.conf", replace.Replace(routes))
		var arguments []string
		for _, a := range command[1:] {
			arguments = append(arguments, strings.NewReplacer(natsFolder, m.Folder, "$(POD_NAME)", fmt.Sprintf("store-eng-%d", i)).Replace(a))
		}
		return arguments
	})
}

// natsClient is let in by any of the members.
func natsClient(t *testing.T, members ...*enginetest.NATSMember) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	var uris []string
	for _, m := range members {
		uris = append(uris, "nats://app:app@"+m.Address())
	}
	nc, err := nats.Connect(strings.Join(uris, ","), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.DontRandomize())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// published has the stream take messages until want of them are acknowledged, and returns their bodies.
func published(t *testing.T, js jetstream.JetStream, prefix string, want int) []string {
	t.Helper()
	var out []string
	for i := range want {
		body := fmt.Sprintf("%s-%d", prefix, i)
		enginetest.Eventually(t, "publish "+body, func() error {
			_, err := js.Publish(t.Context(), "s", []byte(body), jetstream.WithMsgID(body))
			return err
		})
		out = append(out, body)
	}
	return out
}

// stored are the bodies that the stream has.
func stored(t *testing.T, js jetstream.JetStream) []string {
	t.Helper()
	var out []string
	enginetest.Eventually(t, "read the stream", func() error {
		out = nil
		stream, err := js.Stream(t.Context(), "S")
		if err != nil {
			return err
		}
		info, err := stream.Info(t.Context())
		if err != nil {
			return err
		}
		for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
			msg, err := stream.GetMsg(t.Context(), seq)
			if err != nil {
				return err
			}
			out = append(out, string(msg.Data))
		}
		return nil
	})
	return out
}

func makeStream(t *testing.T, js jetstream.JetStream, replicas int) {
	t.Helper()
	enginetest.Eventually(t, "make the stream", func() error {
		_, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: replicas})
		return err
	})
}

// TestNATSKeepsWhatItAcknowledged when a process is killed, the only one or each of three in turn.
func TestNATSKeepsWhatItAcknowledged(t *testing.T) {
	for _, n := range []int32{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			cluster := natsMembers(t, n)
			_, js := natsClient(t, cluster.Members...)
			makeStream(t, js, int(n))
			var want []string
			for i, m := range cluster.Members {
				want = append(want, published(t, js, fmt.Sprint(i), 20)...)
				m.Kill()
				if n > 1 {
					want = append(want, published(t, js, fmt.Sprint(i, "without"), 20)...)
				}
				m.Start()
			}
			if diff := cmp.Diff(want, stored(t, js)); diff != "" {
				t.Errorf("the stream (-acknowledged +stored):\n%s", diff)
			}
		})
	}
}

// TestNATSLameDuck sends its clients to the others, and ends by itself: the SIGTERM that follows does not end it.
func TestNATSLameDuck(t *testing.T) {
	t.Parallel()
	cluster := natsMembers(t, 3)
	duck := cluster.Members[0]
	nc, js := natsClient(t, cluster.Members...)
	makeStream(t, js, 3)
	if nc.ConnectedAddr() != duck.Address() {
		t.Fatalf("the client is at %s", nc.ConnectedAddr())
	}
	stop := natsServer(Request{Replicas: 3}).Lifecycle.PreStop.Exec.Command
	signal := strings.Replace(stop[2], "=1", fmt.Sprintf("=%d", duck.Process().Pid), 1)
	if out, err := exec.Command(enginetest.NATSProgram(t), stop[1], signal).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// The server notices the signal as soon as it runs at all; a kubelet is never quicker than this.
	enginetest.Eventually(t, "the lame duck", func() error {
		if resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/varz", duck.Monitor)); err == nil {
			defer func() { _ = resp.Body.Close() }()
			var varz struct {
				LameDuck bool `json:"lame_duck_mode"`
			}
			_ = json.NewDecoder(resp.Body).Decode(&varz)
		}
		c, err := nats.Connect("nats://app:app@"+duck.Address(), nats.NoReconnect())
		if err != nil {
			return nil
		}
		c.Close()
		return errors.New("it still takes clients")
	})
	_ = duck.Process().Signal(syscall.SIGTERM)
	want := published(t, js, "meanwhile", 20)
	select {
	case <-duck.Ended():
	case <-time.After(time.Minute):
		t.Fatal("the lame duck does not end")
	}
	if nc.ConnectedAddr() == duck.Address() {
		t.Error("the client stays with a member that is gone")
	}
	if diff := cmp.Diff(want, stored(t, js)); diff != "" {
		t.Errorf("the stream (-acknowledged +stored):\n%s", diff)
	}
}

// TestNATSOfOneIsLostToACluster is why replicas can not be raised from 1: a member of a cluster does not take up
// what it had by itself.
func TestNATSOfOneIsLostToACluster(t *testing.T) {
	t.Parallel()
	cluster := natsMembers(t, 3)
	_, js := natsClient(t, cluster.Members...)
	for _, m := range cluster.Members {
		m.Stop()
	}
	// What a server by itself wrote, in the place of a member's.
	alone := natsMembers(t, 1)
	_, own := natsClient(t, alone.Members...)
	makeStream(t, own, 1)
	published(t, own, "alone", 5)
	alone.Members[0].Stop()
	first := cluster.Members[0].Folder + "/data"
	for _, command := range [][]string{{"rm", "-r", first + "/clustered"}, {"cp", "-r", alone.Members[0].Folder + natsAlone, first + "/clustered"}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, m := range slices.Backward(cluster.Members) {
		m.Launch()
	}
	for _, m := range cluster.Members {
		m.Await()
	}
	enginetest.Eventually(t, "the cluster to say that it has no such stream", func() error {
		_, err := js.Stream(t.Context(), "S")
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		return fmt.Errorf("it says %w", err)
	})
	left, _ := filepath.Glob(first + "/clustered/jetstream/APP/streams/*")
	t.Logf("left on the disk: %v", left)
}

// TestNATSRunsAsPlanned asks a server what it made of its configuration.
func TestNATSRunsAsPlanned(t *testing.T) {
	t.Parallel()
	m := natsMembers(t, 1).Members[0]
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/jsz?config=true", m.Monitor))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	type settings struct {
		Memory     int64  `json:"max_memory"`
		Store      int64  `json:"max_storage"`
		StoreDir   string `json:"store_dir"`
		SyncAlways bool   `json:"sync_always"`
	}
	var got struct {
		Config settings `json:"config"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := settings{Memory: 128 << 20, Store: 1 << 30 / 10 * 8, StoreDir: m.Folder + "/data/alone/jetstream", SyncAlways: true}
	if diff := cmp.Diff(want, got.Config); diff != "" {
		t.Errorf("JetStream (-want +got):\n%s", diff)
	}
	if nc, err := nats.Connect("nats://" + m.Address()); err == nil {
		nc.Close()
		t.Error("a client without credentials is let in")
	}
}

// TestNATSRoutesWantAPassword: nobody else becomes a member.
func TestNATSRoutesWantAPassword(t *testing.T) {
	t.Parallel()
	cluster := natsMembers(t, 3)
	stranger := enginetest.NATSFrom(t, 1, func(c *enginetest.NATSCluster, i int) []string {
		m := c.Members[i]
		m.Write("nats.conf", fmt.Sprintf("server_name: stranger\nlisten: %q\nhttp: \"127.0.0.1:%d\"\ncluster { name: store-eng, listen: \"127.0.0.1:%d\", routes: [ \"nats-route://127.0.0.1:%d\" ] }\n",
			m.Address(), m.Monitor, m.Route, cluster.Members[0].Route))
		return []string{"-c", filepath.Join(m.Folder, "nats.conf")}
	}).Members[0]
	enginetest.Eventually(t, "the stranger to be refused", func() error {
		if strings.Contains(stranger.Log(), "Authorization Violation") {
			return nil
		}
		return errors.New("it is not")
	})
}
