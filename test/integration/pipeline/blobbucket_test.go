//go:build integration

package pipeline

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

func blobBucket(namespace, name string, class *v1alpha1.PatternClass, mutate ...func(*v1alpha1.BlobBucket)) *v1alpha1.BlobBucket {
	b := &v1alpha1.BlobBucket{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	b.Spec.ClassName = class.Name
	for _, m := range mutate {
		m(b)
	}
	return b
}

// ofItsOwn has both Engines be the bucket's alone.
func ofItsOwn(b *v1alpha1.BlobBucket) {
	b.Spec.EngineSelection = &v1alpha1.EngineSelection{Sharing: v1alpha1.EngineDedicated}
	b.Spec.LedgerSelection = &v1alpha1.EngineSelection{Sharing: v1alpha1.EngineDedicated}
}

func TestABucketUsesAStoreAndALedger(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	op := startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	b := blobBucket(ns, "media", class)
	g.Expect(framework.Admin.Create(ctx, b)).To(Succeed())
	g.Eventually(reload(b), patience).Should(beReady())
	g.Expect(kinds(ns)).To(ContainElements("Deployment/media-blob", "Service/media-blob", "ConfigMap/media-blob",
		"Engine/"+class.Name+"-s3", "Engine/"+class.Name+"-pgsql"))
	account, err := get(&corev1.Secret{}, ns, "media-blob-account")
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(reload(b), patience).Should(And(
		HaveField("Status.BucketName", And(HavePrefix("media-blob-"), Equal(string(account.Data[planeconfig.KeyBucket])))),
		HaveField("Status.Engine.Name", class.Name+"-s3"),
		HaveField("Status.OtherEngines", ConsistOf(HaveField("Name", class.Name+"-pgsql")))))
	settled(g, op)
}

func TestAnEngineInUseAsALedgerSaysWhoHoldsItsDeletion(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	b := blobBucket(ns, "media", class)
	g.Expect(framework.Admin.Create(ctx, b)).To(Succeed())
	g.Eventually(reload(b), patience).Should(beReady())
	for _, name := range []string{class.Name + "-s3", class.Name + "-pgsql"} {
		engine, err := get(&v1alpha1.Engine{}, ns, name)
		g.Expect(err).NotTo(HaveOccurred())
		g.Eventually(func() int32 { return reload(engine)().Status.Consumers }, patience).Should(Equal(int32(1)))
		g.Expect(framework.Admin.Delete(ctx, engine)).To(Succeed())
		g.Eventually(reload(engine), patience).Should(And(
			haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeletionBlocked),
			haveMessage(v1alpha1.ConditionReady, "in use by BlobBucket media: delete them, or point them at another Engine")))
		g.Eventually(reload(b), patience).Should(haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonEngineNotReady))
	}
	g.Expect(framework.Admin.Delete(ctx, b)).To(Succeed())
	g.Eventually(gone(b), patience).Should(BeTrue())
	for _, name := range []string{class.Name + "-s3", class.Name + "-pgsql"} {
		engine := &v1alpha1.Engine{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
		g.Eventually(gone(engine), patience).Should(BeTrue())
	}
}

// TestEachEngineThatIsNamedMustBeOfItsType: the refusal names the field that is wrong.
func TestEachEngineThatIsNamedMustBeOfItsType(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns, class := framework.NewNamespace(t), framework.NewClass(t)
	cache := &v1alpha1.Engine{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "cache"},
		Spec:       v1alpha1.EngineSpec{Type: v1alpha1.EngineRedis, PatternSpec: v1alpha1.PatternSpec{ClassName: class.Name}},
	}
	g.Expect(framework.Admin.Create(ctx, cache)).To(Succeed())
	named := func(name string) *v1alpha1.EngineSelection {
		return &v1alpha1.EngineSelection{Ref: &v1alpha1.EngineReference{Name: name}}
	}
	for name, c := range map[string]struct {
		mutate func(*v1alpha1.BlobBucket)
		want   string
	}{
		"store-of-another-type": {func(b *v1alpha1.BlobBucket) { b.Spec.EngineSelection = named("cache") },
			`Engine "cache" is of type Redis and one of type S3 is needed: name another Engine in spec.engineSelection.ref`},
		"ledger-of-another-type": {func(b *v1alpha1.BlobBucket) { b.Spec.LedgerSelection = named("cache") },
			`Engine "cache" is of type Redis and one of type PostgreSQL is needed: name another Engine in spec.ledgerSelection.ref`},
		"no-store": {func(b *v1alpha1.BlobBucket) { b.Spec.EngineSelection = named("none") },
			`Engine "none", which spec.engineSelection.ref names, does not exist: create it, or remove ref to have one made`},
		"no-ledger": {func(b *v1alpha1.BlobBucket) { b.Spec.LedgerSelection = named("none") },
			`Engine "none", which spec.ledgerSelection.ref names, does not exist: create it, or remove ref to have one made`},
	} {
		b := blobBucket(ns, name, class, c.mutate)
		g.Expect(framework.Admin.Create(ctx, b)).To(Succeed())
		g.Eventually(func() string { return messageOf(reload(b)(), v1alpha1.ConditionAccepted) }, patience).Should(Equal(c.want))
	}
	g.Expect(kinds(ns)).NotTo(ContainElement(HavePrefix("Deployment/")))
}

// deletedBucket deletes a bucket with the policy Delete and Engines of its own, whose plane tells what the test has it tell.
func deletedBucket(t *testing.T, g *WithT, annotations map[string]string) (b *v1alpha1.BlobBucket, tell func(emptying, remaining float64)) {
	RegisterTestingT(t)
	load := &gauges{}
	framework.StartOperator(t, framework.OperatorOptions{Loads: load, LoadInterval: 100 * time.Millisecond})
	ns := framework.NewNamespace(t)
	b = blobBucket(ns, "media", framework.NewClass(t), ofItsOwn, func(b *v1alpha1.BlobBucket) {
		b.Annotations, b.Spec.DeletionPolicy = annotations, v1alpha1.DeletionDelete
	})
	g.Expect(framework.Admin.Create(ctx, b)).To(Succeed())
	g.Eventually(reload(b), patience).Should(beReady())
	runs(g, ns, "media-blob", "plane-0", "192.0.2.1")
	tell = func(emptying, remaining float64) {
		load.set("192.0.2.1", scaling.Gauge{Name: planeconfig.MetricBlobEmptying, Always: true}, emptying)
		load.set("192.0.2.1", scaling.Gauge{Name: planeconfig.MetricBlobRemaining, Always: true}, remaining)
		load.set("192.0.2.1", scaling.Gauge{Name: planeconfig.MetricBlobRemainingLocked}, 0)
	}
	tell(0, 0)
	g.Expect(framework.Admin.Delete(ctx, b)).To(Succeed())
	return b, tell
}

func TestFilesAreKeptWhereTheirNameIsNotRepeated(t *testing.T) {
	for name, annotations := range map[string]map[string]string{
		"no annotation": nil, "another name": {v1alpha1.AnnotationDeleteFiles: "other"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			b, _ := deletedBucket(t, g, annotations)
			g.Eventually(gone(b), patience).Should(BeTrue())
			for _, name := range []string{"media-s3", "media-pgsql"} {
				engine, err := get(&v1alpha1.Engine{}, b.Namespace, name)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(engine.Labels).To(HaveKeyWithValue(v1alpha1.LabelRetained, "true"))
			}
			for _, name := range []string{"media-blob-account", "media-blob-ledger-account", "media-blob-keys"} {
				_, err := get(&corev1.Secret{}, b.Namespace, name)
				g.Expect(err).NotTo(HaveOccurred(), name)
			}
		})
	}
}

func TestFilesGoWhereTheirNameIsRepeated(t *testing.T) {
	g := NewWithT(t)
	b, tell := deletedBucket(t, g, map[string]string{v1alpha1.AnnotationDeleteFiles: "media"})
	g.Eventually(reload(b), patience).Should(haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDraining))
	config := func() string {
		c, err := get(&corev1.ConfigMap{}, b.Namespace, "media-blob")
		g.Expect(err).NotTo(HaveOccurred())
		return c.Data[planeconfig.FileName]
	}
	g.Eventually(config, patience).Should(ContainSubstring(`"emptying": true`))
	tell(1, 12)
	g.Eventually(func() string { return messageOf(reload(b)(), v1alpha1.ConditionReady) }, patience).Should(HavePrefix("the bucket is being emptied"))
	g.Consistently(gone(b), time.Second).Should(BeFalse())
	tell(1, 0)
	g.Eventually(gone(b), patience).Should(BeTrue())
	for _, name := range []string{"media-s3", "media-pgsql"} {
		engine := &v1alpha1.Engine{ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: name}}
		g.Eventually(gone(engine), patience).Should(BeTrue())
	}
	g.Eventually(func() []corev1.PersistentVolumeClaim {
		var live []corev1.PersistentVolumeClaim
		for _, c := range framework.ClaimsOf(ctx, b.Namespace) {
			if c.DeletionTimestamp.IsZero() {
				live = append(live, c)
			}
		}
		return live
	}, patience).Should(BeEmpty())
}

// TestASizeThatCanNotBeIsRefused by the operator, as no schema does.
func TestASizeThatCanNotBeIsRefused(t *testing.T) {
	g := NewWithT(t)
	RegisterTestingT(t)
	startOperator(t)
	ns := framework.NewNamespace(t)
	b := blobBucket(ns, "media", framework.NewClass(t), func(b *v1alpha1.BlobBucket) {
		b.Spec.Lifecycle = []v1alpha1.BlobLifecycleRule{{
			Name: "old", ExpireAfter: &metav1.Duration{Duration: time.Hour}, MinSize: ptr.To(resource.MustParse("2Mi")), MaxSize: ptr.To(resource.MustParse("1Mi")),
		}}
	})
	g.Expect(framework.Admin.Create(ctx, b)).To(Succeed())
	g.Eventually(reload(b), patience).Should(haveCondition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSpecInvalid))
	g.Expect(framework.Children(ctx, ns)).To(BeEmpty())
}
