package pattern

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// growAgain is how often claims that grow are looked at, in the cache.
const growAgain = 10 * time.Second

// grow brings the claims of the plan's StatefulSets to the size that is planned. Claims never
// shrink. Each step is found again after a crash: a claim asks for what is planned, or it does not.
// The template of a StatefulSet can not be changed, so that it is made anew, without its pods
// noticing, once all of its claims ask for the new size.
func (r *Reconciler) grow(ctx context.Context, s *scope) error {
	for i, child := range s.plan.Children {
		planned, ok := child.Object.(*appsv1.StatefulSet)
		if !ok {
			continue
		}
		live := s.children[i].(*appsv1.StatefulSet)
		for _, template := range planned.Spec.VolumeClaimTemplates {
			if err := r.growClaims(ctx, s, live, template); err != nil || s.growth != nil && !s.growth.Progressing {
				return err
			}
		}
	}
	return nil
}

func (r *Reconciler) growClaims(ctx context.Context, s *scope, live *appsv1.StatefulSet, template corev1.PersistentVolumeClaim) error {
	want := template.Spec.Resources.Requests[corev1.ResourceStorage]
	claims := 0
	for i := range s.claims {
		claim := &s.claims[i]
		if !strings.HasPrefix(claim.Name, template.Name+"-"+live.Name+"-") {
			continue
		}
		claims++
		if err := r.growClaim(ctx, s, claim, want); err != nil || s.growth != nil && !s.growth.Progressing {
			return err
		}
	}
	if claims == 0 || !templateBehind(live, template.Name, want) {
		return nil
	}
	s.resizing("the StatefulSet is made anew for larger claims; its pods stay")
	if !live.DeletionTimestamp.IsZero() {
		return nil
	}
	err := r.client.Delete(ctx, live, preconditions(live), client.PropagationPolicy(metav1.DeletePropagationOrphan))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("make the StatefulSet anew with larger claims: %w", err)
	}
	return nil
}

func (r *Reconciler) growClaim(ctx context.Context, s *scope, claim *corev1.PersistentVolumeClaim, want resource.Quantity) error {
	asked, has := claim.Spec.Resources.Requests[corev1.ResourceStorage], claim.Status.Capacity[corev1.ResourceStorage]
	if asked.Cmp(want) >= 0 {
		if claim.Status.Phase == corev1.ClaimBound && has.Cmp(asked) < 0 {
			s.resizing(fmt.Sprintf("claims grow to %s", asked.String()))
		}
		return nil
	}
	problem, err := r.canNotGrow(ctx, claim)
	if err != nil {
		return err
	}
	if problem != "" {
		s.growth = &Verdict{Reason: v1alpha1.ReasonExpansionNotAllowed, Message: problem}
		s.again = lookAgain
		return nil
	}
	before := claim.DeepCopy()
	claim.Spec.Resources.Requests[corev1.ResourceStorage] = want
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, claim, patch, fieldOwner); err != nil {
		return fmt.Errorf("grow claim %s: %w", claim.Name, err)
	}
	r.event(s.obj, corev1.EventTypeNormal, eventResized, fmt.Sprintf("claim %s is to grow from %s to %s", claim.Name, asked.String(), want.String()))
	s.resizing(fmt.Sprintf("claims grow to %s", want.String()))
	return nil
}

// canNotGrow says why a claim can not, and what to do; empty where it can.
func (r *Reconciler) canNotGrow(ctx context.Context, claim *corev1.PersistentVolumeClaim) (string, error) {
	name := ptr.Deref(claim.Spec.StorageClassName, "")
	if name == "" {
		return "the claims have no StorageClass, and can not grow: create another Engine with the size that you need", nil
	}
	class := &storagev1.StorageClass{}
	err := r.live.Get(ctx, client.ObjectKey{Name: name}, class)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("StorageClass %q of the claims does not exist any more, and they can not grow: create it again with allowVolumeExpansion, or create another Engine", name), nil
	case err != nil:
		return "", fmt.Errorf("get StorageClass %s: %w", name, err)
	case !ptr.Deref(class.AllowVolumeExpansion, false):
		return fmt.Sprintf("StorageClass %q does not let claims grow: set its allowVolumeExpansion where its driver can do it, or create another Engine of another StorageClass", name), nil
	}
	return "", nil
}

func (s *scope) resizing(message string) {
	s.growth = &Verdict{Progressing: true, Reason: v1alpha1.ReasonResizing, Message: message}
	s.again = growAgain
}

// templateBehind is true where new claims of a StatefulSet would be smaller than planned.
func templateBehind(live *appsv1.StatefulSet, name string, want resource.Quantity) bool {
	for _, t := range live.Spec.VolumeClaimTemplates {
		if has := t.Spec.Resources.Requests[corev1.ResourceStorage]; t.Name == name && has.Cmp(want) < 0 {
			return true
		}
	}
	return false
}
