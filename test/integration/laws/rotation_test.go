//go:build integration

package laws

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// TestRotationDiesAfterEveryWrite: whenever the operator dies in a rotation, it is carried out once.
func TestRotationDiesAfterEveryWrite(t *testing.T) {
	for _, e := range some(t, "engine-rotation", "realtimegateway-minimal", "jobqueue-minimal", "shardset-counter") {
		t.Run(e.name, func(t *testing.T) {
			want, writes, err := trellis.rotated(t, e)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("n = %d writes", writes)
			for n := int64(1); n <= writes; n++ {
				check(t, fmt.Sprintf("write=%d", n), func(t *testing.T) error { return trellis.rotatedByTwo(t, e, n, want) })
			}
		})
	}
}

// rotated rotates the credentials of an example, and returns the end state and how many writes that took.
func (s subject) rotated(t testing.TB, e example) (state, int64, error) {
	ns := e.namespace(t)
	before, err := s.unrotated(t, e, ns)
	if err != nil {
		return nil, 0, err
	}
	op := s.start(t, ns)
	defer op.Stop()
	if err := rotate(e, ns); err != nil {
		return nil, 0, err
	}
	if err := reach(op, ns, func() error { return rotatedOnce(e, ns, before) }); err != nil {
		return nil, 0, err
	}
	if err := settle(op, ns); err != nil {
		return nil, 0, err
	}
	if err := rotatedOnce(e, ns, before); err != nil {
		return nil, 0, err
	}
	end, err := snapshot(ns)
	return end, op.Writes.Load(), err
}

// rotatedByTwo: the operator dies after its n-th write of a rotation, and another one comes to the same end.
func (s subject) rotatedByTwo(t testing.TB, e example, n int64, want state) error {
	ns := e.namespace(t)
	before, err := s.unrotated(t, e, ns)
	if err != nil {
		return err
	}
	reached := func() error { return errors.Join(rotatedOnce(e, ns, before), compare(ns, want)) }
	died := make(chan struct{})
	op := s.start(t, ns, dieAfter(n, died))
	if err := rotate(e, ns); err != nil {
		return err
	}
	if err := waitFor(op, ns, died, reached); err != nil {
		return err
	}
	op.Stop()
	op = s.start(t, ns)
	defer op.Stop()
	if err := reach(op, ns, reached); err != nil {
		return err
	}
	if err := settle(op, ns); err != nil {
		return err
	}
	return errors.Join(reached(), op.guard.verdict())
}

// unrotated settles an example, and returns its credentials.
func (s subject) unrotated(t testing.TB, e example, ns string) (map[string]string, error) {
	op := s.start(t, ns)
	defer op.Stop()
	if err := e.apply(ns); err != nil {
		return nil, err
	}
	err := settle(op, ns)
	return passwords(ns), err
}

// asked is the value of the annotation by which the tests have credentials rotated.
const asked = "now"

func rotate(e example, ns string) error {
	for _, p := range e.patterns(ns) {
		patch := client.MergeFrom(p.DeepCopy())
		p.SetAnnotations(map[string]string{v1alpha1.AnnotationRotateCredentials: asked})
		if err := framework.Admin.Patch(ctx, p, patch); err != nil {
			return err
		}
	}
	return nil
}

// rotating are the keys that a rotation makes anew, and where it keeps what they were.
var rotating = map[string]string{"password": "previousPassword", "token": "previousToken", "signing-key": "previousSigningKey",
	"worker-token": "previousWorkerToken", "member-token": "previousMemberToken", "peer-token": "previousPeerToken"}

// passwords are the values of those keys, by Secret and key.
func passwords(ns string) map[string]string {
	out := map[string]string{}
	for name, secret := range secretsOf(ns) {
		for key := range rotating {
			if value := secret.Data[key]; len(value) > 0 {
				out[name+"/"+key] = string(value)
			}
		}
	}
	return out
}

// secretsOf are those that Trellis made, by name.
func secretsOf(ns string) map[string]*corev1.Secret {
	out := map[string]*corev1.Secret{}
	for _, obj := range framework.Children(ctx, ns) {
		if secret, ok := obj.(*corev1.Secret); ok {
			out[secret.Name] = secret
		}
	}
	return out
}

// rotatedOnce: each value that was is the one before now; the Secrets of Engines that nobody asked to
// rotate, or that somebody else runs, are as they were.
func rotatedOnce(e example, ns string, before map[string]string) error {
	mine := map[string]bool{}
	for _, p := range e.patterns(ns) {
		_, elsewhere, _ := unstructured.NestedMap(p.Object, "spec", "external")
		mine[p.GetKind()+"/"+p.GetName()] = !elsewhere
	}
	var open []error
	for name, secret := range secretsOf(ns) {
		whose := secret.Labels[v1alpha1.LabelKind] + "/" + secret.Labels[v1alpha1.LabelName]
		for key, previous := range rotating {
			was := before[name+"/"+key]
			switch now, kept := string(secret.Data[key]), string(secret.Data[previous]); {
			case was == "":
			case !mine[whose] && (now != was || kept != ""):
				open = append(open, fmt.Errorf("%s of Secret %s, of %s, is rotated and is not to be", key, name, whose))
			case mine[whose] && (now == was || kept != was):
				open = append(open, fmt.Errorf("%s of Secret %s is not rotated once: it is the one before %t, and that is kept %t", key, name, now == was, kept == was))
			}
		}
	}
	return errors.Join(open...)
}
