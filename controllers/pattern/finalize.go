package pattern

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// finalize keeps or drops what holds data, and lets the object go; its other
// children go with it by their owner references. It reads from the API server:
// what an old cache does not know would be lost.
func (r *Reconciler) finalize(ctx context.Context, s *scope) (reconcile.Result, error) {
	s.deleting = &Verdict{Reason: v1alpha1.ReasonDeleting, Message: "the object is being deleted"}
	if err := r.refresh(ctx, s); err != nil || s.gone {
		return ctrl.Result{}, err
	}
	// What is not granted any more stops at once, however long the deletion takes.
	if _, err := r.takeTokens(ctx, s.obj); err != nil {
		return ctrl.Result{}, err
	}
	if !controllerutil.ContainsFinalizer(s.obj, Finalizer) {
		s.waitForOthers()
		return ctrl.Result{}, nil
	}
	users, err := r.blockers(ctx, s)
	if err != nil {
		return ctrl.Result{}, err
	}
	if len(users) > 0 {
		s.deleting = &Verdict{Reason: v1alpha1.ReasonDeletionBlocked, Message: fmt.Sprintf(
			"in use by %s: delete them, or point them at another Engine", strings.Join(users, ", "))}
		return ctrl.Result{}, nil
	}
	policy, err := r.deletionPolicy(ctx, s)
	if err != nil {
		return ctrl.Result{}, err
	}
	if done, err := r.end(ctx, s, policy); err != nil || !done {
		return ctrl.Result{RequeueAfter: s.again}, err
	}
	if policy == v1alpha1.DeletionDelete {
		err = r.dropClaims(ctx, s)
	} else {
		err = r.keepData(ctx, s)
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.removeFinalizer(ctx, s)
}

// refresh reads the object itself from the API server, before anything that holds data is touched: by what an old
// cache says, the data of another object of the same name would be dropped, or by a policy that holds no more.
// Where only others' finalizers are left there is nothing to do but to name them.
func (r *Reconciler) refresh(ctx context.Context, s *scope) error {
	if !controllerutil.ContainsFinalizer(s.obj, Finalizer) {
		return nil
	}
	live := r.kind.newObject()
	err := r.live.Get(ctx, client.ObjectKeyFromObject(s.obj), live)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get what is to be deleted: %w", err)
	}
	if s.gone = err != nil || live.GetUID() != s.obj.GetUID(); !s.gone {
		s.obj, s.before = live, live.DeepCopyObject().(v1alpha1.Pattern)
	}
	return nil
}

// blockers names who still uses an Engine.
func (r *Reconciler) blockers(ctx context.Context, s *scope) ([]string, error) {
	if _, isEngine := s.obj.(*v1alpha1.Engine); !isEngine {
		return nil, nil
	}
	return r.consumers(ctx, r.live, s.obj)
}

// deletionPolicy is Retain where the class that would say otherwise is gone.
func (r *Reconciler) deletionPolicy(ctx context.Context, s *scope) (v1alpha1.DeletionPolicy, error) {
	var classes v1alpha1.PatternClassList
	if err := r.live.List(ctx, &classes); err != nil {
		return "", fmt.Errorf("list classes: %w", err)
	}
	class, _ := pickClass(classNameOf(s.obj), classes.Items)
	return r.policy(s.obj, class), nil
}

// keepData cuts loose every child that holds data, and labels the claims.
func (r *Reconciler) keepData(ctx context.Context, s *scope) error {
	owned, err := r.owned(ctx, r.live, s.obj)
	if err != nil {
		return err
	}
	for _, obj := range owned {
		if obj.GetAnnotations()[annotationRetain] != "true" {
			continue
		}
		if err := r.orphan(ctx, s.obj, obj); err != nil {
			return err
		}
	}
	claims, err := r.listClaims(ctx, r.live, s.obj)
	if err != nil {
		return err
	}
	for i := range claims {
		if claims[i].Labels[v1alpha1.LabelRetained] == "true" {
			continue
		}
		if err := r.orphan(ctx, s.obj, &claims[i]); err != nil {
			return err
		}
	}
	return nil
}

// dropClaims deletes the claims; they go when the last pod that mounts them is gone.
func (r *Reconciler) dropClaims(ctx context.Context, s *scope) error {
	claims, err := r.listClaims(ctx, r.live, s.obj)
	if err != nil {
		return err
	}
	for i := range claims {
		if !claims[i].DeletionTimestamp.IsZero() {
			continue
		}
		if err := r.client.Delete(ctx, &claims[i], preconditions(&claims[i])); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete claim %s: %w", claims[i].Name, err)
		}
	}
	return nil
}

func (r *Reconciler) removeFinalizer(ctx context.Context, s *scope) error {
	before := s.obj.DeepCopyObject().(client.Object)
	controllerutil.RemoveFinalizer(s.obj, Finalizer)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	target := s.obj.DeepCopyObject().(v1alpha1.Pattern)
	if err := r.client.Patch(ctx, target, patch, fieldOwner); err != nil && !apierrors.IsNotFound(err) {
		controllerutil.AddFinalizer(s.obj, Finalizer)
		return fmt.Errorf("remove finalizer: %w", err)
	}
	if s.gone = len(target.GetFinalizers()) == 0; !s.gone {
		// Somebody else's keep the object. What is told to its status is compared with this write.
		r.written.note(target)
		s.obj, s.before = target, target.DeepCopyObject().(v1alpha1.Pattern)
		s.waitForOthers()
	}
	return nil
}

func (s *scope) waitForOthers() {
	s.deleting.Message = "waits for the finalizers " + strings.Join(s.obj.GetFinalizers(), ", ") + ", which are not Trellis's"
}
