//go:build integration

package shards

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/table/kube"
	"github.com/trellis-dev/trellis/pkg/ring"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

const patience = framework.Patience

func TestMain(m *testing.M) { os.Exit(framework.Main(m)) }

func client(t *testing.T) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(framework.Config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// published is an empty ConfigMap, as the operator makes it, and a store on it.
func published(t *testing.T, c kubernetes.Interface) (*kube.Store, string) {
	t.Helper()
	namespace := framework.NewBareNamespace(t)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "ring", Labels: map[string]string{"of": "operator"}}}
	if _, err := c.CoreV1().ConfigMaps(namespace).Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return kube.NewStore(c, namespace, "ring"), namespace
}

func stateOf(t *testing.T, term uint64, members ...string) table.State {
	t.Helper()
	empty, err := ring.New(8)
	if err != nil {
		t.Fatal(err)
	}
	var list []ring.Member
	for _, id := range members {
		list = append(list, ring.Member{ID: id, Weight: 2})
	}
	s := table.State{Term: term, Target: ring.Rebalance(empty, list), History: []table.Membership{{Epoch: 1, Members: list}}}
	s.Table = s.Target.Clone()
	s.Table.Moves = []ring.Move{{Partition: 3, From: members[0], To: members[1]}}
	s.Dropping = []ring.Move{{Partition: 4, From: members[1], To: members[0]}}
	s.Failures = []table.Failure{{Move: ring.Move{Partition: 5, From: members[0], To: members[1]}, Reason: "no room"}}
	return s
}

func TestATableIsPublished(t *testing.T) {
	c := client(t)
	store, namespace := published(t, c)
	empty, version, err := store.Read(t.Context())
	if err != nil || empty.Table.Partitions != 0 {
		t.Fatalf("before the first write there is %v, %v", empty, err)
	}
	want := stateOf(t, 7, "a", "b")
	next, err := store.Write(t.Context(), want, version)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Write(t.Context(), stateOf(t, 8, "b", "c"), version); !errors.Is(err, table.ErrConflict) {
		t.Errorf("a write over another one: %v", err)
	}
	got, again, err := store.Read(t.Context())
	if err != nil || again != next {
		t.Errorf("read version %s after %s was written: %v", again, next, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("read what was not written (-want +got):\n%s", diff)
	}
	cm, err := c.CoreV1().ConfigMaps(namespace).Get(t.Context(), "ring", metav1.GetOptions{})
	if err != nil || cm.Labels["of"] != "operator" {
		t.Errorf("what is the operator's has changed: %v, %v", cm.Labels, err)
	}
}

// TestATableIsWatched over a ConfigMap that is removed and made anew.
func TestATableIsWatched(t *testing.T) {
	c := client(t)
	store, namespace := published(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := make(chan table.State, 64)
	var watch sync.WaitGroup
	watch.Go(func() {
		for ctx.Err() == nil {
			_ = store.Watch(ctx, func(s table.State) { seen <- s })
		}
	})
	defer watch.Wait()
	defer cancel()
	until := func(what string, ok func(table.State) bool) {
		t.Helper()
		for {
			select {
			case s := <-seen:
				if ok(s) {
					return
				}
			case <-ctx.Done():
				t.Fatalf("never saw %s", what)
			}
		}
	}
	write := func(term uint64) {
		t.Helper()
		_, version, err := store.Read(ctx)
		if err == nil {
			_, err = store.Write(ctx, stateOf(t, term, "a", "b"), version)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	until("nothing", func(s table.State) bool { return s.Table.Partitions == 0 })
	for term := uint64(1); term < 4; term++ {
		write(term)
		until("a write", func(s table.State) bool { return s.Term == term })
	}
	if err := c.CoreV1().ConfigMaps(namespace).Delete(ctx, "ring", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until("that it is gone", func(s table.State) bool { return s.Table.Partitions == 0 })
	if _, _, err := store.Read(ctx); err == nil {
		t.Error("what is gone can be read")
	}
	if _, err := c.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "ring"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	write(9)
	until("the new one", func(s table.State) bool { return s.Term == 9 })
}

func TestMembersAreFound(t *testing.T) {
	c := client(t)
	namespace := framework.NewBareNamespace(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	members, err := kube.NewMembers(c, namespace, "orders-shs-members")
	if err != nil {
		t.Fatal(err)
	}
	var run sync.WaitGroup
	run.Go(func() { _ = members.Run(ctx) })
	defer run.Wait()
	defer cancel()
	if err := members.Synced(ctx); err != nil {
		t.Fatal(err)
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "one", Labels: map[string]string{discoveryv1.LabelServiceName: "orders-shs-members"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("admin"), Port: ptr.To[int32](8081)}, {Name: ptr.To("http"), Port: ptr.To[int32](8080)}},
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{"10.1.2.3"}, Hostname: ptr.To("orders-shs-0"), Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(false)},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "orders-shs-0", UID: "uid-1"},
		}},
	}
	if slice, err = c.DiscoveryV1().EndpointSlices(namespace).Create(ctx, slice, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await := func(want table.Member, known bool) {
		t.Helper()
		var got table.Member
		for ctx.Err() == nil {
			var ok bool
			if got, ok = members.Member("orders-shs-0"); ok == known && got == want {
				return
			}
			<-time.After(10 * time.Millisecond)
		}
		t.Fatalf("the member is %+v, want %+v", got, want)
	}
	await(table.Member{Address: "10.1.2.3:8080", Incarnation: "uid-1"}, true)
	slice.Endpoints[0].Addresses, slice.Endpoints[0].TargetRef.UID, slice.Endpoints[0].Conditions.Ready = []string{"10.1.2.4"}, "uid-2", ptr.To(true)
	if _, err := c.DiscoveryV1().EndpointSlices(namespace).Update(ctx, slice, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(table.Member{Address: "10.1.2.4:8080", Incarnation: "uid-2", Ready: true}, true)
	if err := c.DiscoveryV1().EndpointSlices(namespace).Delete(ctx, "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(table.Member{}, false)
}

// TestOneIsElected at a time; one that gives up is followed by the other.
func TestOneIsElected(t *testing.T) {
	c := client(t)
	namespace := framework.NewBareNamespace(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var leading atomic.Int32
	led := make(chan string, 16)
	var run sync.WaitGroup
	for _, identity := range []string{"one", "two"} {
		run.Go(func() {
			err := kube.Elect(ctx, c, namespace, "mover", identity, slog.New(slog.DiscardHandler), func(ctx context.Context) {
				if leading.Add(1) > 1 {
					t.Error("two lead at once")
				}
				defer leading.Add(-1)
				led <- identity
				if identity == "one" {
					return
				}
				<-ctx.Done()
			})
			if err != nil {
				t.Errorf("%s: %v", identity, err)
			}
		})
	}
	defer run.Wait()
	defer cancel()
	for {
		select {
		case who := <-led:
			if who == "two" {
				return
			}
		case <-ctx.Done():
			t.Fatal("the other one never led")
		}
	}
}

// TestALeaseGoesWithItsShardSet, whom the ConfigMap belongs to.
func TestALeaseGoesWithItsShardSet(t *testing.T) {
	c := client(t)
	_, namespace := published(t, c)
	leases := c.CoordinationV1().Leases(namespace)
	if _, err := leases.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "mover"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	owners := func() []metav1.OwnerReference {
		t.Helper()
		if err := kube.Belong(t.Context(), c, namespace, "mover", "ring"); err != nil {
			t.Fatal(err)
		}
		l, err := leases.Get(t.Context(), "mover", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return l.OwnerReferences
	}
	if got := owners(); len(got) > 0 {
		t.Errorf("the ConfigMap is nobody's, and the Lease %v's", got)
	}
	cm, err := c.CoreV1().ConfigMaps(namespace).Get(t.Context(), "ring", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cm.OwnerReferences = []metav1.OwnerReference{{APIVersion: "patterns.trellis.dev/v1alpha1", Kind: "ShardSet", Name: "orders", UID: "u", Controller: ptr.To(true)}}
	if _, err := c.CoreV1().ConfigMaps(namespace).Update(t.Context(), cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	want := []metav1.OwnerReference{{APIVersion: "patterns.trellis.dev/v1alpha1", Kind: "ShardSet", Name: "orders", UID: "u"}}
	if diff := cmp.Diff(want, owners()); diff != "" {
		t.Error(diff)
	}
}
