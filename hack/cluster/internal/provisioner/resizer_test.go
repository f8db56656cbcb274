package provisioner

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func sized(size string) v1.ResourceList {
	return v1.ResourceList{v1.ResourceStorage: resource.MustParse(size)}
}

// bound is a claim that asks for one size and has another, and its volume.
func bound(asks, has, volume string) (*v1.PersistentVolumeClaim, *v1.PersistentVolume) {
	claim := &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "data", UID: "1"},
		Spec:       v1.PersistentVolumeClaimSpec{VolumeName: "pvc-1", Resources: v1.VolumeResourceRequirements{Requests: sized(asks)}},
		Status: v1.PersistentVolumeClaimStatus{Phase: v1.ClaimBound, Capacity: sized(has), Conditions: []v1.PersistentVolumeClaimCondition{
			{Type: v1.PersistentVolumeClaimResizing, Status: v1.ConditionTrue},
			{Type: v1.PersistentVolumeClaimFileSystemResizePending, Status: v1.ConditionTrue},
		}},
	}
	pv := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-1", Annotations: map[string]string{provisionedBy: Name}},
		Spec:       v1.PersistentVolumeSpec{Capacity: sized(volume), ClaimRef: &v1.ObjectReference{UID: "1"}},
	}
	return claim, pv
}

// outcome is what a claim and its volume say afterwards, and what was written.
type outcome struct {
	Volume, Claim string
	Conditions    int
	Writes        []string
	Failed        bool
}

func TestResize(t *testing.T) {
	for name, tc := range map[string]struct {
		asks, has, volume string
		mutate            func(*v1.PersistentVolumeClaim, *v1.PersistentVolume)
		want              outcome
	}{
		"a claim that asks for more": {asks: "2Gi", has: "1Gi", volume: "1Gi",
			want: outcome{Volume: "2Gi", Claim: "2Gi", Writes: []string{"patch persistentvolumes", "update persistentvolumeclaims/status"}}},
		"cut off between the two writes": {asks: "2Gi", has: "1Gi", volume: "2Gi",
			want: outcome{Volume: "2Gi", Claim: "2Gi", Writes: []string{"update persistentvolumeclaims/status"}}},
		"a claim that has what it asks for": {asks: "1Gi", has: "1Gi", volume: "1Gi",
			want: outcome{Volume: "1Gi", Claim: "1Gi", Conditions: 2}},
		"a volume that is larger than asked for": {asks: "1Gi", has: "2Gi", volume: "2Gi",
			want: outcome{Volume: "2Gi", Claim: "2Gi", Conditions: 2}},
		"a claim without a volume": {asks: "2Gi", has: "1Gi", volume: "1Gi",
			mutate: func(c *v1.PersistentVolumeClaim, _ *v1.PersistentVolume) { c.Status.Phase = v1.ClaimPending },
			want:   outcome{Volume: "1Gi", Claim: "1Gi", Conditions: 2}},
		"a claim that is going": {asks: "2Gi", has: "1Gi", volume: "1Gi",
			mutate: func(c *v1.PersistentVolumeClaim, _ *v1.PersistentVolume) {
				c.DeletionTimestamp, c.Finalizers = &metav1.Time{Time: time.Unix(1, 0)}, []string{"x/y"}
			},
			want: outcome{Volume: "1Gi", Claim: "1Gi", Conditions: 2}},
		"another provisioner's volume": {asks: "2Gi", has: "1Gi", volume: "1Gi",
			mutate: func(_ *v1.PersistentVolumeClaim, v *v1.PersistentVolume) { v.Annotations = nil },
			want:   outcome{Volume: "1Gi", Claim: "1Gi", Conditions: 2}},
		"another claim's volume": {asks: "2Gi", has: "1Gi", volume: "1Gi",
			mutate: func(_ *v1.PersistentVolumeClaim, v *v1.PersistentVolume) { v.Spec.ClaimRef.UID = "2" },
			want:   outcome{Volume: "1Gi", Claim: "1Gi", Conditions: 2, Failed: true}},
	} {
		t.Run(name, func(t *testing.T) {
			claim, volume := bound(tc.asks, tc.has, tc.volume)
			if tc.mutate != nil {
				tc.mutate(claim, volume)
			}
			client := fake.NewClientset(claim, volume)
			shared := informers.NewSharedInformerFactory(client, 0)
			r, err := newResizer(client, shared)
			if err != nil {
				t.Fatal(err)
			}
			defer r.queue.ShutDown()
			ctx, cancel := context.WithCancel(t.Context())
			shared.Start(ctx.Done())
			defer shared.Shutdown()
			defer cancel()
			shared.WaitForCacheSync(ctx.Done())
			got := outcome{Failed: r.resize(ctx, types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}) != nil}
			got.Writes = writes(client.Actions())
			claim, volume = reread(t, client)
			got.Volume, got.Claim, got.Conditions = volume.Spec.Capacity.Storage().String(), claim.Status.Capacity.Storage().String(), len(claim.Status.Conditions)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func writes(actions []clienttesting.Action) []string {
	var out []string
	for _, a := range actions {
		if slices.Contains([]string{"list", "watch", "get"}, a.GetVerb()) {
			continue
		}
		what := a.GetVerb() + " " + a.GetResource().Resource
		if a.GetSubresource() != "" {
			what += "/" + a.GetSubresource()
		}
		out = append(out, what)
	}
	return out
}

func reread(t *testing.T, client *fake.Clientset) (*v1.PersistentVolumeClaim, *v1.PersistentVolume) {
	t.Helper()
	claim, err := client.CoreV1().PersistentVolumeClaims("apps").Get(t.Context(), "data", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	volume, err := client.CoreV1().PersistentVolumes().Get(t.Context(), "pvc-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return claim, volume
}

// TestRunSeesClaimsAndTriesAgain begins with a claim that is too small, and is refused once.
func TestRunSeesClaimsAndTriesAgain(t *testing.T) {
	claim, volume := bound("2Gi", "1Gi", "1Gi")
	client := fake.NewClientset(claim, volume)
	var refuse sync.Once
	client.PrependReactor("patch", "persistentvolumes", func(clienttesting.Action) (handled bool, _ runtime.Object, err error) {
		refuse.Do(func() { handled, err = true, context.DeadlineExceeded })
		return handled, nil, err
	})
	seen, err := client.CoreV1().PersistentVolumeClaims("apps").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer seen.Stop()
	shared := informers.NewSharedInformerFactory(client, 0)
	r, err := newResizer(client, shared)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	shared.Start(ctx.Done())
	defer shared.Shutdown()
	shared.WaitForCacheSync(ctx.Done())
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	working.Go(func() { r.run(ctx) })
	awaitSize(t, seen, "2Gi")
}

// awaitSize waits until the watched claim has a size.
func awaitSize(t *testing.T, seen watch.Interface, size string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case e := <-seen.ResultChan():
			if c, ok := e.Object.(*v1.PersistentVolumeClaim); ok && c.Status.Capacity.Storage().String() == size {
				return
			}
		case <-deadline:
			t.Fatalf("the claim never had %s", size)
		}
	}
}
