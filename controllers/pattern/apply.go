package pattern

import (
	"context"
	"fmt"
	"reflect"
	"strings"

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
	alive := make([]client.Object, len(s.plan.Children))
	for i, child := range s.plan.Children {
		var err error
		if alive[i], err = r.lookup(ctx, s, child); err != nil || !s.accepted.OK {
			return err
		}
	}
	if s.applied != nil {
		return nil
	}
	var err error
	if s.marks, err = marksOf(s); err != nil {
		return err
	}
	if err := r.takeTurn(ctx, s, alive); err != nil {
		return err
	}
	for i, child := range s.plan.Children {
		live, err := r.applyChild(ctx, s, child, alive[i])
		if err != nil {
			return s.applyFailed(child, err)
		}
		s.children = append(s.children, live)
	}
	if err := r.adoptClaims(ctx, s); err != nil {
		return err
	}
	s.applied = &Verdict{OK: true}
	return nil
}

// lookup returns the living object of a child, nil where there is none. An
// object that the cache does not know may still exist without our labels, and
// is looked for once before it would be created.
func (r *Reconciler) lookup(ctx context.Context, s *scope, child Child) (client.Object, error) {
	live := child.DeepCopyObject().(client.Object)
	key := client.ObjectKeyFromObject(child.Object)
	err := r.client.Get(ctx, key, live)
	if apierrors.IsNotFound(err) {
		live = reflect.New(reflect.TypeOf(child.Object).Elem()).Interface().(client.Object)
		err = r.live.Get(ctx, key, live)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", kindOf(child.Object), err)
	}
	if child.Shared {
		return live, nil
	}
	r.claim(s, child, live)
	return live, nil
}

// claim refuses an object that is somebody else's.
func (r *Reconciler) claim(s *scope, child Child, live client.Object) {
	controller := metav1.GetControllerOf(live)
	switch {
	case controller != nil && controller.UID == s.obj.GetUID():
	case controller == nil && ours(live, r.kind.name(), s.obj.GetName()):
	case controller != nil && controller.Kind == r.kind.name() && controller.Name == s.obj.GetName():
		// Left by an object of the same name that is gone; the garbage collector is about to take it,
		// and that is noticed.
		s.waitForLeft(live, kindOf(child.Object))
	default:
		s.refuse(v1alpha1.ReasonNameConflict, fmt.Sprintf(
			"%s %q exists and was not made for this object: rename or delete it, or choose another name",
			kindOf(child.Object), child.GetName()), true)
	}
}

// waitForLeft waits for what a deleted object of the same name has left, and names it where others keep it.
func (s *scope) waitForLeft(live client.Object, kind string) {
	held := live.GetFinalizers()
	message := "waits until what a deleted object of the same name has left is gone"
	switch {
	case !live.GetDeletionTimestamp().IsZero() && len(held) > 0:
		message += fmt.Sprintf(": %s %q is kept by its finalizers %s", kind, live.GetName(), strings.Join(held, ", "))
	case s.applied != nil:
		return
	}
	s.applied = &Verdict{Reason: v1alpha1.ReasonProgressing, Message: message}
}

// ours is true for an object that Trellis made for the named owner and a deletion kept.
func ours(obj client.Object, kind, name string) bool {
	labels := obj.GetLabels()
	return labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy &&
		labels[v1alpha1.LabelKind] == kind && labels[v1alpha1.LabelName] == name
}

// applyChild brings one child to its planned state and returns it as it lives.
func (r *Reconciler) applyChild(ctx context.Context, s *scope, child Child, live client.Object) (client.Object, error) {
	if child.Shared {
		return r.ensureShared(ctx, child, live)
	}
	if live != nil && metav1.GetControllerOf(live) == nil {
		if err := r.adopt(ctx, s, live); err != nil {
			return nil, err
		}
	}
	desired, err := r.desired(s, child, live)
	if err != nil {
		return nil, err
	}
	if live != nil {
		same, err := unchanged(desired, live)
		if err != nil || same {
			return live, err
		}
	}
	if err := r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(desired), fieldOwner, client.ForceOwnership); err != nil {
		return nil, err
	}
	r.tellRotated(s, desired, live)
	out := reflect.New(reflect.TypeOf(child.Object).Elem()).Interface().(client.Object)
	return out, runtime.DefaultUnstructuredConverter.FromUnstructured(desired.Object, out)
}

// tellRotated tells that a Secret's values were made anew.
func (r *Reconciler) tellRotated(s *scope, desired, live client.Object) {
	if live == nil || desired.GetAnnotations()[annotationRotated] == live.GetAnnotations()[annotationRotated] {
		return
	}
	r.event(s.obj, corev1.EventTypeNormal, eventRotated, "rotated the credentials; those before are accepted until the next rotation")
}

// ensureShared makes an object that belongs to nobody, and leaves it alone when it is there.
func (r *Reconciler) ensureShared(ctx context.Context, child Child, live client.Object) (client.Object, error) {
	if live != nil {
		return live, nil
	}
	obj := child.DeepCopyObject().(client.Object)
	if err := r.client.Create(ctx, obj, fieldOwner); client.IgnoreAlreadyExists(err) != nil {
		return nil, err
	}
	return obj, nil
}

// desired is what is sent to the API server for a child.
func (r *Reconciler) desired(s *scope, child Child, live client.Object) (*unstructured.Unstructured, error) {
	obj := child.DeepCopyObject().(client.Object)
	if err := controllerutil.SetControllerReference(s.obj, obj, r.scheme); err != nil {
		return nil, fmt.Errorf("own %s: %w", kindOf(obj), err)
	}
	if child.Retain {
		setAnnotation(obj, annotationRetain, "true")
	}
	if child.Generate != nil {
		if err := generate(obj, live, child.Generate, rotationOf(s.obj)); err != nil {
			return nil, err
		}
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
