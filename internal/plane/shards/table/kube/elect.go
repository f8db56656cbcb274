package kube

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Times of the election. They decide how soon another router takes over, and nothing about who owns a partition.
const (
	leaseDuration = 5 * time.Second
	renewDeadline = 3 * time.Second
	retryPeriod   = time.Second
)

// Elect calls lead, with a context of its own, each time and for as long as identity holds the Lease, until ctx ends.
// Where lead returns before, the Lease is given up and competed for again.
func Elect(ctx context.Context, client kubernetes.Interface, namespace, lease, identity string, log *slog.Logger, lead func(context.Context)) error {
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: lease},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
	}
	for ctx.Err() == nil {
		if err := electOnce(ctx, lock, lead); err != nil {
			return fmt.Errorf("compete for the Lease %s: %w", lease, err)
		}
		log.Debug("the lease is not held any more", "lease", lease)
		timer := time.NewTimer(retryPeriod)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
	return nil
}

func electOnce(ctx context.Context, lock *resourcelock.LeaseLock, lead func(context.Context)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	held := &noticing{Interface: lock}
	led := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: held, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				defer close(led)
				defer cancel()
				lead(ctx)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return err
	}
	elector.Run(ctx)
	// The elector starts to lead in a goroutine that it does not wait for.
	if held.once.Load() {
		<-led
	}
	return nil
}

// noticing is a lock that knows whether it was held once.
type noticing struct {
	resourcelock.Interface
	once atomic.Bool
}

// Create implements resourcelock.Interface.
func (n *noticing) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return n.note(r, n.Interface.Create(ctx, r))
}

// Update implements resourcelock.Interface.
func (n *noticing) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return n.note(r, n.Interface.Update(ctx, r))
}

func (n *noticing) note(r resourcelock.LeaderElectionRecord, err error) error {
	if err == nil && r.HolderIdentity == n.Identity() {
		n.once.Store(true)
	}
	return err
}
