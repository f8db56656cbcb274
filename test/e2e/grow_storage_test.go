//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

var small, large = resource.MustParse("64Mi"), resource.MustParse("128Mi")

// Engines of one member and of three get larger claims while messages go through them, and the operator dies
// meanwhile. Nothing is lost, and no pod and no client notices.
func TestStorageGrows(t *testing.T) {
	g := NewWithT(t)
	ns := newNamespace(t)
	class := disks(t, true)
	engines := []*v1alpha1.Engine{stored(ns, "solo", 1, class), stored(ns, "many", members, class)}
	for _, e := range engines {
		g.Expect(admin.Create(ctx, e)).To(Succeed())
	}
	var storms []*storm
	for _, e := range engines {
		storms = append(storms, startStorm(t, open(t, applied(t, gateway(ns, "on-"+e.Name, onEngine(e.Name))))))
	}
	for _, e := range engines {
		ready(t, e)
		g.Expect(claimSizes(e)).To(HaveEach("64Mi of 64Mi"))
	}
	before := lives(podsOf(ns, nil))

	for _, e := range engines {
		resize(t, e, large)
	}
	kill(t, get(t, &corev1.Pod{}, operatorNamespace, leader(t)))
	for i, e := range engines {
		grown(t, e)
		storms[i].goOn(25)
	}
	for _, s := range storms {
		s.end()
		g.Expect(s.moved()).To(BeZero(), "streams and sockets that were cut")
	}
	g.Expect(lives(podsOf(ns, nil))).To(Equal(before), "pods, and how often their containers started")
}

// Where the StorageClass does not let claims grow, a condition says so and the engine serves on. Once it does, they grow.
func TestStorageCanNotGrow(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ns := newNamespace(t)
	class := disks(t, false)
	engine := applied(t, stored(ns, "solo", 1, class))
	before := lives(podsOf(ns, nil))

	resize(t, engine, large)
	g.Eventually(func() string { return resized(engine) }, patience, often).Should(And(
		HavePrefix(v1alpha1.ReasonExpansionNotAllowed), ContainSubstring("allowVolumeExpansion")))
	ready(t, engine)
	g.Expect(claimSizes(engine)).To(HaveEach("64Mi of 64Mi"))

	change(t, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: class}}, func(c *storagev1.StorageClass) { c.AllowVolumeExpansion = ptr.To(true) })
	grown(t, engine)
	g.Expect(lives(podsOf(ns, nil))).To(Equal(before), "pods, and how often their containers started")
}

// disks makes a StorageClass like the cluster's default one. It skips the test where that can not grow claims.
func disks(t *testing.T, grow bool) string {
	t.Helper()
	g := NewWithT(t)
	classes := &storagev1.StorageClassList{}
	g.Expect(admin.List(ctx, classes)).To(Succeed())
	i := slices.IndexFunc(classes.Items, func(c storagev1.StorageClass) bool {
		return c.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" && ptr.Deref(c.AllowVolumeExpansion, false)
	})
	if i < 0 {
		t.Skip("the cluster's default StorageClass does not let claims grow")
	}
	class := classes.Items[i].DeepCopy()
	class.ObjectMeta = metav1.ObjectMeta{GenerateName: "e2e-"}
	class.AllowVolumeExpansion = ptr.To(grow)
	g.Expect(admin.Create(ctx, class)).To(Succeed())
	t.Cleanup(func() {
		if err := admin.Delete(ctx, class); client.IgnoreNotFound(err) != nil {
			t.Errorf("remove the StorageClass: %v", err)
		}
	})
	return class.Name
}

// stored is an engine with small claims of a StorageClass.
func stored(namespace, name string, replicas int32, class string) *v1alpha1.Engine {
	return &v1alpha1.Engine{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.EngineSpec{Type: v1alpha1.EngineRedis, Provisioned: &v1alpha1.ProvisionedEngine{
			Replicas: ptr.To(replicas), Storage: &v1alpha1.Storage{Size: ptr.To(small), StorageClassName: ptr.To(class)},
		}},
	}
}

func resize(t *testing.T, e *v1alpha1.Engine, size resource.Quantity) {
	t.Helper()
	change(t, e, func(e *v1alpha1.Engine) { e.Spec.Provisioned.Storage.Size = ptr.To(size) })
}

// grown waits until an engine's claims are large, and new ones would be, and nothing is left to do.
func grown(t *testing.T, e *v1alpha1.Engine) {
	t.Helper()
	g := NewWithT(t)
	g.Eventually(func() []string { return claimSizes(e) }, patience, often).Should(And(
		HaveLen(int(*e.Spec.Provisioned.Replicas)), HaveEach("128Mi of 128Mi")), "claims of %s", e.Name)
	g.Eventually(func() string {
		set := &appsv1.StatefulSet{}
		if err := admin.Get(ctx, client.ObjectKey{Namespace: e.Namespace, Name: e.Name + "-eng"}, set); err != nil {
			return err.Error()
		}
		return set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage().String()
	}, patience, often).Should(Equal("128Mi"), "the template of %s", e.Name)
	g.Eventually(reload(e), patience, often).Should(haveCondition(v1alpha1.ConditionStorageResized, "absent"))
	ready(t, e)
}

// claimSizes say what claims have, of what they ask for.
func claimSizes(e *v1alpha1.Engine) []string {
	claims := &corev1.PersistentVolumeClaimList{}
	err := admin.List(ctx, claims, client.InNamespace(e.Namespace), client.MatchingLabels{v1alpha1.LabelKind: "Engine", v1alpha1.LabelName: e.Name})
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, c := range claims.Items {
		out = append(out, fmt.Sprintf("%s of %s", c.Status.Capacity.Storage(), c.Spec.Resources.Requests.Storage()))
	}
	return out
}

// resized is what an engine says of claims that are too small, with the reason first.
func resized(e *v1alpha1.Engine) string {
	fresh := reload(e)()
	if fresh == nil {
		return ""
	}
	c := meta.FindStatusCondition(fresh.Status.Conditions, v1alpha1.ConditionStorageResized)
	if c == nil {
		return ""
	}
	return c.Reason + ": " + c.Message
}
