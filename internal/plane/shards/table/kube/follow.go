package kube

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// A watch is begun anew after watchFor, so that one that broke unseen is noticed.
const (
	watchFor   = 5 * time.Minute
	watchAgain = 500 * time.Millisecond
)

// follow shows a ConfigMap as it is and each time that it changes, and nil where there is none, until ctx ends, show fails,
// or the API server refuses.
func follow(ctx context.Context, client kubernetes.Interface, namespace, name string, show func(*corev1.ConfigMap) error) error {
	for {
		err := followOnce(ctx, client, namespace, name, show)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is an orderly one
		}
		if err != nil {
			return err
		}
		timer := time.NewTimer(watchAgain)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// followOnce, until the API server ends the watch.
func followOnce(ctx context.Context, client kubernetes.Interface, namespace, name string, show func(*corev1.ConfigMap) error) error {
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	listCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := client.CoreV1().ConfigMaps(namespace).List(listCtx, metav1.ListOptions{FieldSelector: only})
	if err != nil {
		return fmt.Errorf("list the ConfigMap %s: %w", name, err)
	}
	var now *corev1.ConfigMap
	if len(list.Items) > 0 {
		now = &list.Items[0]
	}
	if err := show(now); err != nil {
		return err
	}
	seconds := int64(watchFor / time.Second)
	w, err := client.CoreV1().ConfigMaps(namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: only, ResourceVersion: list.ResourceVersion, TimeoutSeconds: &seconds,
	})
	if err != nil {
		return fmt.Errorf("watch the ConfigMap %s: %w", name, err)
	}
	defer w.Stop()
	return showEvents(ctx, w, show)
}

func showEvents(ctx context.Context, w watch.Interface, show func(*corev1.ConfigMap) error) error {
	// The API server ends it by itself; where the connection is cut silently, it does not.
	late := time.NewTimer(watchFor + callTimeout)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-late.C:
			return nil
		case event, ok := <-w.ResultChan():
			if !ok || event.Type == watch.Error {
				return nil
			}
			cm, is := event.Object.(*corev1.ConfigMap)
			if !is {
				continue
			}
			if event.Type == watch.Deleted {
				cm = nil
			}
			if err := show(cm); err != nil {
				return err
			}
		}
	}
}
