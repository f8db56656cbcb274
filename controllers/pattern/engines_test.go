package pattern

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// reconcilerOf a kind, among objects that are there.
func reconcilerOf(t *testing.T, kindName string, objects ...client.Object) *Reconciler {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	return &Reconciler{
		kind: testKind{called: kindName}, kinds: []kind{testKind{called: "BlobBucket"}, testKind{called: "RealtimeGateway"}},
		client: c, live: c, scheme: scheme,
	}
}

func madeEngine(name string, typ v1alpha1.EngineType, mutate ...func(*v1alpha1.Engine)) *v1alpha1.Engine {
	e := &v1alpha1.Engine{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name}, Spec: v1alpha1.EngineSpec{Type: typ}}
	for _, m := range mutate {
		m(e)
	}
	return e
}

func named(name string) *v1alpha1.EngineSelection {
	return &v1alpha1.EngineSelection{Ref: &v1alpha1.EngineReference{Name: name}}
}

// TestResolveEnginesRefusesEach with the field that selects it.
func TestResolveEnginesRefusesEach(t *testing.T) {
	isSomebodys := func(e *v1alpha1.Engine) {
		yes := true
		e.OwnerReferences = []metav1.OwnerReference{{Kind: "BlobBucket", Name: "c", UID: "u", Controller: &yes}}
	}
	for name, c := range map[string]struct {
		store, ledger *v1alpha1.EngineSelection
		there         []client.Object
		reason, want  string
	}{
		"none is there yet": {nil, nil, nil, "", ""},
		"both are":          {nil, nil, []client.Object{madeEngine("c-s3", "S3"), madeEngine("c-pgsql", "PostgreSQL")}, "", ""},
		"no store of that name": {named("a"), nil, nil, v1alpha1.ReasonReferenceNotFound,
			`Engine "a", which spec.engineSelection.ref names, does not exist: create it, or remove ref to have one made`},
		"no ledger of that name": {nil, named("b"), nil, v1alpha1.ReasonReferenceNotFound,
			`Engine "b", which spec.ledgerSelection.ref names, does not exist: create it, or remove ref to have one made`},
		"a ledger for a store": {named("b"), named("b"), []client.Object{madeEngine("b", "PostgreSQL")}, v1alpha1.ReasonReferenceInvalid,
			`Engine "b" is of type PostgreSQL and one of type S3 is needed: name another Engine in spec.engineSelection.ref`},
		"a store for a ledger": {named("a"), named("a"), []client.Object{madeEngine("a", "S3")}, v1alpha1.ReasonReferenceInvalid,
			`Engine "a" is of type S3 and one of type PostgreSQL is needed: name another Engine in spec.ledgerSelection.ref`},
		"a ledger that is somebody's": {nil, nil, []client.Object{madeEngine("c-pgsql", "PostgreSQL", isSomebodys)}, v1alpha1.ReasonNameConflict,
			`Engine "c-pgsql", whose name the shared one would have, belongs to BlobBucket c alone: name an Engine in spec.ledgerSelection.ref, or choose another class`},
	} {
		t.Run(name, func(t *testing.T) {
			r := reconcilerOf(t, "BlobBucket", c.there...)
			s := found(func(s *scope) {
				s.obj = &v1alpha1.BlobBucket{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "media"}}
				s.inputs.Class = makeClass("c").obj()
				s.needs = Needs{
					Engine: &EngineNeed{Type: v1alpha1.EngineS3, Selection: c.store},
					Others: []EngineNeed{{Type: v1alpha1.EnginePostgreSQL, Selection: c.ledger, Role: "ledger"}},
				}
				s.accepted, s.engines = Verdict{OK: true}, nil
			})
			if err := r.resolveEngines(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if !s.accepted.OK || len(s.engines) != 2 || (s.engines[1] == nil) != (c.there == nil) {
					t.Errorf("accepted is %+v, engines are %v", s.accepted, s.engines)
				}
				return
			}
			if diff := cmp.Diff([]string{c.reason, c.want}, []string{s.accepted.Reason, s.accepted.Message}); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}

// bucketOn says in its status which Engines it uses.
func bucketOn(name, store, ledger string) *v1alpha1.BlobBucket {
	b := &v1alpha1.BlobBucket{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name}}
	b.Status.Engine = &v1alpha1.EngineStatusReference{Name: store}
	b.Status.OtherEngines = []v1alpha1.EngineStatusReference{{Name: ledger}}
	return b
}

func TestConsumersUseAnEngineInAnyRole(t *testing.T) {
	r := reconcilerOf(t, "Engine", bucketOn("one", "store", "ledger"), bucketOn("two", "store", "other"))
	for engine, want := range map[string][]string{
		"store": {"BlobBucket one", "BlobBucket two"}, "ledger": {"BlobBucket one"}, "other": {"BlobBucket two"}, "none": nil,
	} {
		for what, ask := range map[string]func() ([]string, error){
			"consumers": func() ([]string, error) { return r.consumers(t.Context(), r.client, madeEngine(engine, "S3")) },
			"blockers":  func() ([]string, error) { return r.blockers(t.Context(), &scope{obj: madeEngine(engine, "S3")}) },
		} {
			got, err := ask()
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s of %s: error %v (-want +got):\n%s", what, engine, err, diff)
			}
		}
	}
}

func TestRelatedKnowsEachEngine(t *testing.T) {
	request := func(name string) reconcile.Request {
		return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "apps", Name: name}}
	}
	one, two := bucketOn("one", "store", "ledger"), bucketOn("two", "store", "other")
	if diff := cmp.Diff([]reconcile.Request{request("store"), request("ledger")}, reconcilerOf(t, "Engine").related(t.Context(), one)); diff != "" {
		t.Errorf("Engines of a bucket (-want +got):\n%s", diff)
	}
	buckets := reconcilerOf(t, "BlobBucket", one, two)
	for engine, want := range map[string][]reconcile.Request{
		"store": {request("one"), request("two")}, "ledger": {request("one")}, "none": nil,
	} {
		if diff := cmp.Diff(want, buckets.related(t.Context(), madeEngine(engine, "S3"))); diff != "" {
			t.Errorf("buckets of Engine %s (-want +got):\n%s", engine, diff)
		}
	}
}
