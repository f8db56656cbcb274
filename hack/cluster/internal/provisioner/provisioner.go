// Package provisioner makes, grows and removes the volumes of the default StorageClass: folders of this machine, one below
// each node's state folder, so that a volume is only seen by pods of the node that it was made for. It runs beside
// the control plane and serves all nodes, since their files all lie on this machine.
package provisioner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"github.com/trellis-dev/trellis/hack/cluster/internal/layout"
)

// Name is what StorageClasses call the provisioner.
const Name = "cluster.trellis.dev/local"

// Run provisions and resizes until ctx ends.
func Run(ctx context.Context, c layout.Cluster, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the provisioner's kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making the provisioner's client: %w", err)
	}
	shared := informers.NewSharedInformerFactory(client, controller.DefaultResyncPeriod)
	resizer, err := newResizer(client, shared)
	if err != nil {
		return err
	}
	// There is one provisioner a cluster, so it elects no leader.
	ctrl := controller.NewProvisionController(ctx, client, Name, &folders{c}, controller.LeaderElection(false),
		controller.ClaimsInformer(shared.Core().V1().PersistentVolumeClaims().Informer()),
		controller.VolumesInformer(shared.Core().V1().PersistentVolumes().Informer()))
	shared.Start(ctx.Done())
	defer shared.Shutdown()
	shared.WaitForCacheSync(ctx.Done())
	var working sync.WaitGroup
	defer working.Wait()
	working.Go(func() { resizer.run(ctx) })
	ctrl.Run(ctx)
	return nil
}

// folders makes volumes that are folders.
type folders struct{ cluster layout.Cluster }

// Provision makes the folder before the volume is announced. Its mode lets any user write: what runs in the pod is
// rarely root, and a pod without fsGroup could not write otherwise.
func (f *folders) Provision(_ context.Context, o controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	if o.SelectedNodeName == "" {
		return nil, controller.ProvisioningFinished, errors.New("no node is chosen: the StorageClass must have volumeBindingMode WaitForFirstConsumer")
	}
	if mode := o.PVC.Spec.VolumeMode; mode != nil && *mode == v1.PersistentVolumeBlock {
		return nil, controller.ProvisioningFinished, errors.New("volumes here are folders, so volumeMode Block can't be had")
	}
	for _, mode := range o.PVC.Spec.AccessModes {
		if mode != v1.ReadWriteOnce && mode != v1.ReadWriteOncePod {
			return nil, controller.ProvisioningFinished, fmt.Errorf("volumes here belong to one node: use ReadWriteOnce, not %s", mode)
		}
	}
	path, err := f.path(o.SelectedNodeName, o.PVName)
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("making the folder of the volume: %w", err)
	}
	if err := os.Chmod(path, 0o777); err != nil { // MkdirAll heeds the umask
		return nil, controller.ProvisioningFinished, fmt.Errorf("opening the folder of the volume: %w", err)
	}
	return volume(o, path), controller.ProvisioningFinished, nil
}

func volume(o controller.ProvisionOptions, path string) *v1.PersistentVolume {
	onNode := v1.NodeSelectorRequirement{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{o.SelectedNodeName}}
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: o.PVC.Spec.Resources.Requests[v1.ResourceStorage]},
			// A local volume, unlike a hostPath, heeds the pod's fsGroup.
			PersistentVolumeSource: v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: path}},
			NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{
				NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{onNode}}},
			}},
		},
	}
}

// Delete removes the folder with all that is in it.
func (f *folders) Delete(_ context.Context, pv *v1.PersistentVolume) error {
	node, err := nodeOf(pv)
	if err != nil {
		return err
	}
	path, err := f.path(node, pv.Name)
	if err != nil {
		return err
	}
	if pv.Spec.Local == nil || pv.Spec.Local.Path != path {
		return fmt.Errorf("refusing to remove a volume whose folder isn't %s", path)
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("removing the folder of %s: %w", pv.Name, err)
	}
	return nil
}

// path is the folder of a volume. The names come from the API, so they are checked before they become a path.
func (f *folders) path(node, volume string) (string, error) {
	for _, n := range []string{node, volume} {
		if n == "" || n == "." || n == ".." || strings.ContainsRune(n, filepath.Separator) {
			return "", fmt.Errorf("%q can't be the name of a folder", n)
		}
	}
	return filepath.Join(f.cluster.Member(node).Volumes(), volume), nil
}

func nodeOf(pv *v1.PersistentVolume) (string, error) {
	if a := pv.Spec.NodeAffinity; a != nil && a.Required != nil {
		for _, term := range a.Required.NodeSelectorTerms {
			for _, m := range term.MatchExpressions {
				if m.Key == v1.LabelHostname && len(m.Values) == 1 {
					return m.Values[0], nil
				}
			}
		}
	}
	return "", fmt.Errorf("the volume %s says no node", pv.Name)
}
