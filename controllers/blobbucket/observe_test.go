package blobbucket

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/scaling"
)

// engine that serves, or says why not.
func engine(name, trouble string) *v1alpha1.Engine {
	e := &v1alpha1.Engine{ObjectMeta: metav1.ObjectMeta{Name: name}}
	e.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}}
	if trouble != "" {
		e.Status.Conditions[0].Status, e.Status.Conditions[0].Message = metav1.ConditionFalse, trouble
	}
	return e
}

func TestObserveNamesTheEngineInTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		store, ledger *v1alpha1.Engine
		ok            bool
		want          string
	}{
		"both answer":         {engine("store", ""), engine("ledger", ""), true, "Engine ledger answers"},
		"no store yet":        {nil, engine("ledger", ""), false, "the Engine is being created"},
		"no ledger yet":       {engine("store", ""), nil, false, "the Engine is being created"},
		"the store is down":   {engine("store", "no answer"), engine("ledger", ""), false, "Engine store: no answer"},
		"the ledger is down":  {engine("store", ""), engine("ledger", "no answer"), false, "Engine ledger: no answer"},
		"the store is before": {engine("store", "a"), engine("ledger", "b"), false, "Engine store: a"},
	} {
		got := observe(makeBucket(), pattern.Observed{Engine: c.store, Others: []*v1alpha1.Engine{c.ledger}}).Engine
		if got.OK != c.ok || got.Message != c.want {
			t.Errorf("%s: engine is %+v, want %q", name, got, c.want)
		}
	}
}

func TestObserve(t *testing.T) {
	d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](1), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"is": "plane"}}}}
	d.Status = appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "media-blob-account"}, Data: map[string][]byte{"bucket": []byte("media-blob-1a2b")}}
	seen := pattern.Observed{Children: []client.Object{d, secret}, Engine: engine("store", ""), Others: []*v1alpha1.Engine{engine("ledger", "")}}
	for name, c := range map[string]struct {
		mutate         func(*spec)
		bucket, reason string
	}{
		"it serves":          {func(*spec) {}, "media-blob-1a2b", v1alpha1.ReasonPlaneReady},
		"of a name":          {func(s *spec) { s.BucketName = "named" }, "named", v1alpha1.ReasonPlaneReady},
		"it is not to":       {suspended, "media-blob-1a2b", v1alpha1.ReasonSuspended},
		"nor that of a name": {func(s *spec) { suspended(s); s.BucketName = "named" }, "named", v1alpha1.ReasonSuspended},
	} {
		b := makeBucket(c.mutate)
		got := observe(b, seen)
		if b.Status.BucketName != c.bucket || got.Plane.Reason != c.reason || b.Status.Selector != "is=plane" {
			t.Errorf("%s: plane is %+v, status %+v", name, got.Plane, b.Status)
		}
	}
	// The name stays where the Secret is not seen for once.
	b := makeBucket()
	b.Status.BucketName = "before"
	seen.Children = nil
	if observe(b, seen); b.Status.BucketName != "before" {
		t.Errorf("the bucket is %q", b.Status.BucketName)
	}
}

func TestCensus(t *testing.T) {
	first := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	later := metav1.NewTime(first.Add(time.Hour))
	counted := func(pending, uploaded, bytes float64) pattern.Counts {
		return pattern.Counts{Pods: []map[scaling.Gauge]float64{{pendingFiles: pending, uploadedFiles: uploaded, uploadedBytes: bytes}}}
	}
	said := v1alpha1.BlobCountsStatus{Pending: 3, Uploaded: 120, Bytes: 5000, CountedAt: first}
	for name, c := range map[string]struct {
		before *v1alpha1.BlobCountsStatus
		counts pattern.Counts
		asked  bool
		want   v1alpha1.BlobCountsStatus
	}{
		"the first count":  {nil, counted(3, 123, 4980), false, v1alpha1.BlobCountsStatus{Pending: 3, Uploaded: 120, Bytes: 5000, CountedAt: later}},
		"much the same":    {&said, counted(3, 150, 4100), false, said},
		"many more":        {&said, counted(3, 170, 5000), false, v1alpha1.BlobCountsStatus{Pending: 3, Uploaded: 170, Bytes: 5000, CountedAt: later}},
		"larger":           {&said, counted(3, 120, 99999), false, v1alpha1.BlobCountsStatus{Pending: 3, Uploaded: 120, Bytes: 100000, CountedAt: later}},
		"none pending":     {&said, counted(0, 120, 5000), false, v1alpha1.BlobCountsStatus{Uploaded: 120, Bytes: 5000, CountedAt: later}},
		"the spec changed": {&said, counted(3, 121, 5000), true, v1alpha1.BlobCountsStatus{Pending: 3, Uploaded: 120, Bytes: 5000, CountedAt: later}},
	} {
		b := makeBucket()
		b.Status.Files = c.before
		census().Note(b, c.counts, later, c.asked)
		if diff := cmp.Diff(&c.want, b.Status.Files); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
