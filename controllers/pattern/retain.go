package pattern

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

const (
	// annotationRetain marks a child that is kept when its owner is deleted under the policy Retain.
	annotationRetain = "patterns.trellis.dev/holds-data"
	// annotationRetainedFrom says whose a kept object was.
	annotationRetainedFrom = "patterns.trellis.dev/retained-from"
)

// orphan cuts a child loose, so that the garbage collector leaves it, and labels where it came from.
func (r *Reconciler) orphan(ctx context.Context, owner v1alpha1.Pattern, child client.Object) error {
	before := child.DeepCopyObject().(client.Object)
	child.SetOwnerReferences(withoutOwner(child.GetOwnerReferences(), owner.GetUID()))
	markRetained(child, r.kind.name(), owner)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, child, patch, fieldOwner); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("keep %s %s: %w", kindOf(child), child.GetName(), err)
	}
	r.event(owner, corev1.EventTypeNormal, eventRetained, "kept "+kindOf(child)+" "+child.GetName())
	return nil
}

func withoutOwner(refs []metav1.OwnerReference, uid types.UID) []metav1.OwnerReference {
	return slices.DeleteFunc(slices.Clone(refs), func(ref metav1.OwnerReference) bool { return ref.UID == uid })
}

func markRetained(obj client.Object, kind string, owner v1alpha1.Pattern) {
	labels := obj.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[v1alpha1.LabelRetained] = "true"
	obj.SetLabels(labels)
	setAnnotation(obj, annotationRetainedFrom, fmt.Sprintf("%s/%s/%s", kind, owner.GetNamespace(), owner.GetName()))
}

// RetainedFrom is the kind and the name of the object that a deletion kept this from; empty where none did.
func RetainedFrom(obj client.Object) (kind, name string) {
	parts := strings.Split(obj.GetAnnotations()[annotationRetainedFrom], "/")
	if len(parts) != 3 {
		return "", ""
	}
	return parts[0], parts[2]
}

// adopt takes the marks of a deletion off an object that is to live again.
func (r *Reconciler) adopt(ctx context.Context, s *scope, obj client.Object) error {
	if obj.GetLabels()[v1alpha1.LabelRetained] == "" {
		return nil
	}
	before := obj.DeepCopyObject().(client.Object)
	labels, annotations := obj.GetLabels(), obj.GetAnnotations()
	delete(labels, v1alpha1.LabelRetained)
	delete(annotations, annotationRetainedFrom)
	obj.SetLabels(labels)
	obj.SetAnnotations(annotations)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, obj, patch, fieldOwner); err != nil {
		return fmt.Errorf("adopt %s %s: %w", kindOf(obj), obj.GetName(), err)
	}
	r.event(s.obj, corev1.EventTypeNormal, eventAdopted, "adopted "+kindOf(obj)+" "+obj.GetName())
	return nil
}

// adoptClaims finds the claims of an object's StatefulSets and takes the marks of a deletion off them.
func (r *Reconciler) adoptClaims(ctx context.Context, s *scope) error {
	claims, err := r.listClaims(ctx, r.client, s.obj)
	if err != nil {
		return err
	}
	for i := range claims {
		if err := r.adopt(ctx, s, &claims[i]); err != nil {
			return err
		}
	}
	s.claims = claims
	return nil
}

func (r *Reconciler) listClaims(ctx context.Context, from client.Reader, owner v1alpha1.Pattern) ([]corev1.PersistentVolumeClaim, error) {
	var claims corev1.PersistentVolumeClaimList
	if err := from.List(ctx, &claims, r.inventory(from, &claims, owner)...); err != nil {
		return nil, fmt.Errorf("list claims: %w", err)
	}
	slices.SortFunc(claims.Items, func(a, b corev1.PersistentVolumeClaim) int {
		return compareNames(&a, &b)
	})
	return claims.Items, nil
}
