package pattern

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// fieldOwner of every write; statusOwner of those to a status.
const (
	fieldOwner  = client.FieldOwner(v1alpha1.ManagedBy)
	statusOwner = client.FieldOwner(v1alpha1.ManagedBy)
)

// apply makes the plan's children exist as planned. It writes nothing where
// they already do.
func (r *Reconciler) apply(ctx context.Context, s *scope) error {
	alive, err := r.look(ctx, s)
	if err != nil || !s.accepted.OK {
		return err
	}
	if s.late {
		s.again = catchUp
		return nil
	}
	if s.applied != nil {
		return nil
	}
	if s.marks, err = marksOf(s); err != nil {
		return err
	}
	if err := r.takeTurn(ctx, s, alive); err != nil {
		return err
	}
	if err := r.lookWhoStops(ctx, s, alive); err != nil {
		return err
	}
	decideRotation(r.kind, s, alive)
	for i, child := range s.plan.Children {
		live, err := r.applyChild(ctx, s, child, alive[i])
		switch {
		case err != nil:
			return s.applyFailed(child, err)
		case !s.accepted.OK:
			return r.takeBack(ctx, s)
		case s.applied != nil:
			return nil
		}
		s.children = append(s.children, live)
	}
	if err := r.adoptClaims(ctx, s); err != nil {
		return err
	}
	s.applied = &Verdict{OK: true}
	return nil
}

// applyChild brings one child to its planned state and returns it as it lives.
func (r *Reconciler) applyChild(ctx context.Context, s *scope, child Child, live client.Object) (client.Object, error) {
	if child.Shared {
		return r.ensureShared(ctx, child, live)
	}
	if live == nil {
		if s.mustConfirm(child) {
			var err error
			if child, err = r.confirm(ctx, s, child); err != nil {
				return nil, err
			}
		}
		return r.make(ctx, s, child)
	}
	if metav1.GetControllerOf(live) == nil {
		if err := r.adopt(ctx, s, live); err != nil {
			return nil, err
		}
	}
	held := len(s.held)
	desired, same, err := r.compare(s, child, live)
	if err == nil && !same && s.mustConfirm(child) {
		s.held = s.held[:held]
		if child, err = r.confirm(ctx, s, child); err != nil {
			return nil, err
		}
		desired, same, err = r.compare(s, child, live)
	}
	if err != nil || same {
		return live, err
	}
	out, err := r.send(ctx, s, desired, child)
	if err != nil {
		return nil, err
	}
	r.tellRotated(s, desired, live)
	return out, nil
}

// compare what is planned of a child with what is alive of it.
func (r *Reconciler) compare(s *scope, child Child, live client.Object) (desired *unstructured.Unstructured, same bool, err error) {
	if desired, err = r.desired(s, child, live); err != nil {
		return nil, false, err
	}
	same, err = unchanged(desired, live)
	return desired, same, err
}

// noVersion is a resourceVersion that no object has: a store counts its writes from 1, which is its own. An apply
// with it makes an object that is not there, and is a conflict where one is.
const noVersion = "1"

// make makes a child that nobody has seen, and takes over none that is there after all: such a one is
// looked at, and claimed or refused.
func (r *Reconciler) make(ctx context.Context, s *scope, child Child) (client.Object, error) {
	desired, err := r.desired(s, child, nil)
	if err != nil {
		return nil, err
	}
	desired.SetResourceVersion(noVersion)
	out, err := r.send(ctx, s, desired, child)
	if err == nil {
		s.made = append(s.made, out)
	}
	if !apierrors.IsConflict(err) {
		return out, err
	}
	live, lookErr := r.lookLive(ctx, child)
	if lookErr != nil {
		return nil, errors.Join(err, lookErr)
	}
	if live == nil {
		// It has gone since, or this API server wants no version of what is not there.
		desired.SetResourceVersion("")
		return r.send(ctx, s, desired, child)
	}
	if r.claim(s, child, live); !s.accepted.OK || s.applied != nil {
		return nil, nil
	}
	return r.applyChild(ctx, s, child, live)
}

// takeBack deletes what was made before a child turned out to be somebody else's: of an object that is refused
// there is to be nothing.
func (r *Reconciler) takeBack(ctx context.Context, s *scope) error {
	for _, obj := range s.made {
		uid := obj.GetUID()
		err := r.client.Delete(ctx, obj, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("take back %s: %w", kindOf(obj), err)
		}
		r.written.forgetChild(s.obj, obj)
	}
	return nil
}

// send applies a child and returns it as it lives then.
func (r *Reconciler) send(ctx context.Context, s *scope, desired *unstructured.Unstructured, child Child) (client.Object, error) {
	if err := r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(desired), fieldOwner, client.ForceOwnership); err != nil {
		return nil, err
	}
	out := empty(child.Object)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(desired.Object, out); err != nil {
		return nil, fmt.Errorf("read %s: %w", kindOf(child.Object), err)
	}
	r.written.noteChild(s.obj, out, r.clock.Now())
	return out, nil
}

// ensureShared makes an object that belongs to nobody, and leaves it alone when it is there.
func (r *Reconciler) ensureShared(ctx context.Context, child Child, live client.Object) (client.Object, error) {
	if live != nil {
		return live, nil
	}
	obj := child.DeepCopyObject().(client.Object)
	err := r.client.Create(ctx, obj, fieldOwner)
	if !apierrors.IsAlreadyExists(err) {
		return obj, err
	}
	if live, lookErr := r.lookLive(ctx, child); live != nil || lookErr != nil {
		return live, lookErr
	}
	return nil, err
}

// desired is what is sent to the API server for a child.
func (r *Reconciler) desired(s *scope, child Child, live client.Object) (*unstructured.Unstructured, error) {
	obj := child.DeepCopyObject().(client.Object)
	r.linger(s, obj, live)
	if err := controllerutil.SetControllerReference(s.obj, obj, r.scheme); err != nil {
		return nil, fmt.Errorf("own %s: %w", kindOf(obj), err)
	}
	if child.Retain {
		setAnnotation(obj, annotationRetain, "true")
	}
	if child.Generate != nil {
		if err := generate(obj, live, child.Generate, s.rotation.value); err != nil {
			return nil, err
		}
		markRotatedAt(obj, live, child.Generate, s.now)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, fmt.Errorf("convert %s: %w", kindOf(obj), err)
	}
	u := &unstructured.Unstructured{Object: content}
	strip(u)
	if child.Scaled {
		if err := shareReplicas(u, live); err != nil {
			return nil, err
		}
	}
	h := holding{marks: s.marks, policy: s.inputs.Class.Spec.UpdatePolicy, queued: s.turn.queued}
	held, err := h.hold(u, obj, live)
	if err != nil {
		return nil, err
	}
	if held {
		s.held = append(s.held, kindOf(child.Object)+" "+child.GetName())
	}
	return u, markApplied(u)
}

// applyFailed puts the API server's refusal into the status. The error is returned, so that it is tried again;
// but not where the namespace is going, as then the object itself will be gone soon.
func (s *scope) applyFailed(child Child, err error) error {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		s.applied = &Verdict{Reason: v1alpha1.ReasonProgressing, Message: "the namespace is being deleted"}
		return nil
	}
	s.applied = &Verdict{
		Reason:  v1alpha1.ReasonApplyFailed,
		Message: fmt.Sprintf("%s can not be applied: %s", kindOf(child.Object), apierrors.ReasonForError(err)),
	}
	if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) || apierrors.IsInternalError(err) {
		s.applied.Message += ": " + err.Error()
	}
	return fmt.Errorf("apply %s: %w", kindOf(child.Object), err)
}

func kindOf(obj client.Object) string {
	if k := obj.GetObjectKind().GroupVersionKind().Kind; k != "" {
		return k
	}
	return reflect.TypeOf(obj).Elem().Name()
}

func setAnnotation(obj client.Object, key, value string) {
	annotations := obj.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[key] = value
	obj.SetAnnotations(annotations)
}

// preconditions of a deletion: exactly the object that was seen.
func preconditions(obj client.Object) client.Preconditions {
	uid, version := types.UID(obj.GetUID()), obj.GetResourceVersion()
	return client.Preconditions{UID: &uid, ResourceVersion: &version}
}
