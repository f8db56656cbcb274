package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// players of nodes, so that they are never what is waited for.
const players = 8

// nodes play the cluster: every Deployment becomes available once it is seen.
type nodes struct {
	// available are the Deployments that are.
	available *tally
	unfollow  func() error
	queue     chan *appsv1.Deployment
	cancel    context.CancelFunc
	wg        sync.WaitGroup
}

func startNodes(ctx context.Context, c client.WithWatch) (*nodes, error) {
	ctx, cancel := context.WithCancel(ctx)
	n := &nodes{available: newTally(), queue: make(chan *appsv1.Deployment, 10000), cancel: cancel}
	for range players {
		n.wg.Go(func() {
			for d := range n.queue {
				// What failed is tried again at the Deployment's next event, or awaited in vain and told then.
				_ = makeAvailable(ctx, c, d)
			}
		})
	}
	var err error
	n.unfollow, err = follow(ctx, c, &appsv1.DeploymentList{}, func(obj client.Object) {
		d := obj.(*appsv1.Deployment)
		if d.Status.ObservedGeneration == d.Generation && d.Status.AvailableReplicas == ptr.Deref(d.Spec.Replicas, 1) {
			n.available.add(d)
			return
		}
		n.queue <- d
	})
	if err != nil {
		cancel()
		close(n.queue)
		return nil, err
	}
	return n, nil
}

func makeAvailable(ctx context.Context, c client.Client, d *appsv1.Deployment) error {
	replicas := ptr.Deref(d.Spec.Replicas, 1)
	patch, err := json.Marshal(map[string]any{"status": appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas,
	}})
	if err != nil {
		return fmt.Errorf("encode a status: %w", err)
	}
	err = c.Status().Patch(ctx, d, client.RawPatch(types.MergePatchType, patch))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write a status: %w", err)
	}
	return nil
}

func (n *nodes) stop() {
	_ = n.unfollow()
	n.cancel()
	close(n.queue)
	n.wg.Wait()
}
