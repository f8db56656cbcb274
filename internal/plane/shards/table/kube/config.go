package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// FollowConfig shows the configuration in a ConfigMap as it changes, until ctx ends: the file that a kubelet mounts of it is up
// to a minute and a half behind. What can not be read is told to refused, and waited for to change again.
func FollowConfig(ctx context.Context, client kubernetes.Interface, namespace, name string, seen func(planeconfig.Config), refused func(error)) error {
	var last string
	return follow(ctx, client, namespace, name, func(cm *corev1.ConfigMap) error {
		if cm == nil || cm.Data[planeconfig.FileName] == last {
			return nil
		}
		last = cm.Data[planeconfig.FileName]
		c, err := planeconfig.Decode([]byte(last))
		if err != nil {
			refused(err)
			return nil
		}
		seen(c)
		return nil
	})
}
