package kube

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// Belong has a Lease go with the object that a ConfigMap belongs to: the election makes it without an owner. Where the
// ConfigMap has none, as one that a deletion kept, nothing is done.
func Belong(ctx context.Context, client kubernetes.Interface, namespace, lease, configMap string) error {
	cm, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, configMap, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("whom the ConfigMap %s belongs to: %w", configMap, err)
	}
	owner := metav1.GetControllerOf(cm)
	if owner == nil {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": []metav1.OwnerReference{
		{APIVersion: owner.APIVersion, Kind: owner.Kind, Name: owner.Name, UID: owner.UID},
	}}})
	if err != nil {
		return err
	}
	if _, err := client.CoordinationV1().Leases(namespace).Patch(ctx, lease, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("have the Lease %s belong to %s %s: %w", lease, owner.Kind, owner.Name, err)
	}
	return nil
}
