package provisioner

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// provisionedBy is the annotation by which a volume names its provisioner.
const provisionedBy = "pv.kubernetes.io/provisioned-by"

// resizer gives volumes the size that their claims ask for, as the external-resizer of a CSI driver does whose volumes
// need nothing done on the node: first the volume says its new capacity, then the claim. A folder has no size, so
// nothing else is to do. That the StorageClass allows it is seen to by the API server.
type resizer struct {
	client  kubernetes.Interface
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	queue   workqueue.TypedRateLimitingInterface[types.NamespacedName]
}

// newResizer must be called before the informers are started.
func newResizer(client kubernetes.Interface, shared informers.SharedInformerFactory) (*resizer, error) {
	core := shared.Core().V1()
	r := &resizer{
		client: client, claims: core.PersistentVolumeClaims().Lister(), volumes: core.PersistentVolumes().Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[types.NamespacedName]()),
	}
	_, err := core.PersistentVolumeClaims().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    r.enqueue,
		UpdateFunc: func(_, claim any) { r.enqueue(claim) },
	})
	if err != nil {
		return nil, fmt.Errorf("watching claims: %w", err)
	}
	return r, nil
}

func (r *resizer) enqueue(obj any) {
	if claim, ok := obj.(*v1.PersistentVolumeClaim); ok && wants(claim) != nil {
		r.queue.Add(types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name})
	}
}

// wants is the size that a bound claim asks for and has not got; nil if there is none.
func wants(claim *v1.PersistentVolumeClaim) *resource.Quantity {
	asked, has := claim.Spec.Resources.Requests[v1.ResourceStorage], claim.Status.Capacity[v1.ResourceStorage]
	if claim.Status.Phase != v1.ClaimBound || claim.DeletionTimestamp != nil || asked.Cmp(has) <= 0 {
		return nil
	}
	return &asked
}

// run works until ctx ends.
func (r *resizer) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, r.queue.ShutDown)
	defer stop()
	for {
		key, over := r.queue.Get()
		if over {
			return
		}
		if err := r.resize(ctx, key); err != nil {
			klog.FromContext(ctx).Error(err, "Growing a volume; it is tried again", "PVC", key)
			r.queue.AddRateLimited(key)
		} else {
			r.queue.Forget(key)
		}
		r.queue.Done(key)
	}
}

// resize does what is left to do: it may have been cut off between its two writes.
func (r *resizer) resize(ctx context.Context, key types.NamespacedName) error {
	claim, err := r.claims.PersistentVolumeClaims(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	size := wants(claim)
	if size == nil {
		return nil
	}
	volume, err := r.volumes.Get(claim.Spec.VolumeName)
	if err != nil {
		return fmt.Errorf("looking up the volume of a claim: %w", err)
	}
	if volume.Annotations[provisionedBy] != Name {
		return nil
	}
	if ref := volume.Spec.ClaimRef; ref == nil || ref.UID != claim.UID {
		return fmt.Errorf("the volume %s is another claim's", volume.Name)
	}
	if err := r.growVolume(ctx, volume, *size); err != nil {
		return err
	}
	return r.growClaim(ctx, claim, *size)
}

func (r *resizer) growVolume(ctx context.Context, volume *v1.PersistentVolume, size resource.Quantity) error {
	if has := volume.Spec.Capacity[v1.ResourceStorage]; has.Cmp(size) >= 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": volume.ResourceVersion},
		"spec":     map[string]any{"capacity": v1.ResourceList{v1.ResourceStorage: size}},
	})
	if err != nil {
		return err
	}
	if _, err := r.client.CoreV1().PersistentVolumes().Patch(ctx, volume.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("growing the volume %s: %w", volume.Name, err)
	}
	return nil
}

// growClaim ends the growth: what said that it is under way goes. The kubelet may have been first, since it does the
// same for a volume in use whose claim says less than the volume.
func (r *resizer) growClaim(ctx context.Context, claim *v1.PersistentVolumeClaim, size resource.Quantity) error {
	claim = claim.DeepCopy()
	claim.Status.Capacity = v1.ResourceList{v1.ResourceStorage: size}
	claim.Status.Conditions = slices.DeleteFunc(claim.Status.Conditions, func(c v1.PersistentVolumeClaimCondition) bool {
		return c.Type == v1.PersistentVolumeClaimResizing || c.Type == v1.PersistentVolumeClaimFileSystemResizePending
	})
	if _, err := r.client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, claim, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("saying the size of the claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	return nil
}
