package pattern

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

func storageClass(expands *bool) *storagev1.StorageClass {
	c := &storagev1.StorageClass{AllowVolumeExpansion: expands}
	c.Name = "disks"
	return c
}

// grown makes a StatefulSet with a claim template of a size.
func grown(size string) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{}
	s.Namespace, s.Name = "apps", "store-eng"
	s.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{claimOf("data", size, "")}
	return s
}

func claimOf(name, size, capacity string) corev1.PersistentVolumeClaim {
	c := corev1.PersistentVolumeClaim{}
	c.Namespace, c.Name = "apps", name
	c.Spec.StorageClassName = ptr.To("disks")
	c.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: *quantity(size)}
	if capacity != "" {
		c.Status.Phase = corev1.ClaimBound
		c.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: *quantity(capacity)}
	}
	return c
}

// TestGrow reconciles from every state that a crash may leave.
func TestGrow(t *testing.T) {
	yes, no := ptr.To(true), ptr.To(false)
	done := claimOf("data-store-eng-0", "2Gi", "2Gi")
	tests := []struct {
		name     string
		class    *storagev1.StorageClass
		template string
		claims   []corev1.PersistentVolumeClaim
		// want are the sizes of the claims afterwards; remade is true where the StatefulSet was deleted.
		want   []string
		remade bool
		reason string
	}{
		{"as planned", storageClass(yes), "2Gi", []corev1.PersistentVolumeClaim{done}, []string{"2Gi"}, false, ""},
		{"larger than planned", storageClass(yes), "3Gi", []corev1.PersistentVolumeClaim{claimOf(done.Name, "3Gi", "3Gi")}, []string{"3Gi"}, false, ""},
		{"all smaller", storageClass(yes), "1Gi", []corev1.PersistentVolumeClaim{claimOf("data-store-eng-0", "1Gi", "1Gi"), claimOf("data-store-eng-1", "1Gi", "1Gi")},
			[]string{"2Gi", "2Gi"}, true, v1alpha1.ReasonResizing},
		{"one smaller", storageClass(yes), "1Gi", []corev1.PersistentVolumeClaim{done, claimOf("data-store-eng-1", "1Gi", "1Gi")},
			[]string{"2Gi", "2Gi"}, true, v1alpha1.ReasonResizing},
		{"the template alone smaller", storageClass(yes), "1Gi", []corev1.PersistentVolumeClaim{done}, []string{"2Gi"}, true, v1alpha1.ReasonResizing},
		{"the volume smaller than its claim", storageClass(yes), "2Gi", []corev1.PersistentVolumeClaim{claimOf("data-store-eng-0", "2Gi", "1Gi")},
			[]string{"2Gi"}, false, v1alpha1.ReasonResizing},
		{"no claims yet", storageClass(yes), "1Gi", nil, nil, false, ""},
		{"another StatefulSet's claim", storageClass(yes), "2Gi", []corev1.PersistentVolumeClaim{claimOf("data-other-0", "1Gi", "1Gi")}, []string{"1Gi"}, false, ""},
		{"a StorageClass that does not", storageClass(no), "1Gi", []corev1.PersistentVolumeClaim{claimOf("data-store-eng-0", "1Gi", "1Gi")},
			[]string{"1Gi"}, false, v1alpha1.ReasonExpansionNotAllowed},
		{"a StorageClass that is gone", nil, "1Gi", []corev1.PersistentVolumeClaim{claimOf("data-store-eng-0", "1Gi", "1Gi")},
			[]string{"1Gi"}, false, v1alpha1.ReasonExpansionNotAllowed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scheme, err := NewScheme()
			if err != nil {
				t.Fatal(err)
			}
			live := grown(tt.template)
			objects := []client.Object{live}
			if tt.class != nil {
				objects = append(objects, tt.class)
			}
			for i := range tt.claims {
				objects = append(objects, &tt.claims[i])
			}
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
			r := &Reconciler{client: c, live: c, events: events.NewFakeRecorder(10)}
			s := &scope{obj: makeGateway("store").obj(), plan: Plan{Children: []Child{{Object: &corev1.Service{}}, {Object: grown("2Gi")}}}}
			s.children = []client.Object{&corev1.Service{}, read(t, c, live)}
			for i := range tt.claims {
				s.claims = append(s.claims, *read(t, c, &tt.claims[i]))
			}
			if err := r.grow(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := range tt.claims {
				size := read(t, c, &tt.claims[i]).Spec.Resources.Requests[corev1.ResourceStorage]
				got = append(got, size.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
			if gone := apierrors.IsNotFound(c.Get(t.Context(), client.ObjectKeyFromObject(live), &appsv1.StatefulSet{})); gone != tt.remade {
				t.Errorf("the StatefulSet is gone: %v, want %v", gone, tt.remade)
			}
			if reason := ptr.Deref(s.growth, Verdict{}).Reason; reason != tt.reason {
				t.Errorf("reason is %q, want %q", reason, tt.reason)
			}
		})
	}
}

func read[T client.Object](t *testing.T, c client.Client, obj T) T {
	t.Helper()
	out := obj.DeepCopyObject().(T)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(obj), out); err != nil {
		t.Fatal(err)
	}
	return out
}
