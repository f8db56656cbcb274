package provisioner

import (
	"os"
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"github.com/trellis-dev/trellis/hack/cluster/internal/layout"
)

func options(node, name string, mode v1.PersistentVolumeAccessMode) controller.ProvisionOptions {
	reclaim := v1.PersistentVolumeReclaimDelete
	return controller.ProvisionOptions{
		StorageClass: &storagev1.StorageClass{ReclaimPolicy: &reclaim}, PVName: name, SelectedNodeName: node,
		PVC: &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "c"},
			Spec: v1.PersistentVolumeClaimSpec{AccessModes: []v1.PersistentVolumeAccessMode{mode}}},
	}
}

func TestAVolumeComesAndGoes(t *testing.T) {
	f := &folders{layout.Cluster{Name: "a", Base: t.TempDir()}}
	pv, _, err := f.Provision(t.Context(), options("node1", "pvc-1", v1.ReadWriteOnce))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.cluster.Root(), "node1", "volumes", "pvc-1")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o777 || pv.Spec.Local.Path != path {
		t.Fatalf("the folder: %v, %v; the volume's path: %s", info, err, pv.Spec.Local.Path)
	}
	if err := os.WriteFile(filepath.Join(path, "data"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice, as after a crash between the removal and its being noted
		if err := f.Delete(t.Context(), pv); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestRefused(t *testing.T) {
	f := &folders{layout.Cluster{Name: "a", Base: t.TempDir()}}
	for name, o := range map[string]controller.ProvisionOptions{
		"no node":             options("", "pvc-1", v1.ReadWriteOnce),
		"many writers":        options("node1", "pvc-1", v1.ReadWriteMany),
		"a node that is none": options("../node1", "pvc-1", v1.ReadWriteOnce),
		"a name that is none": options("node1", "..", v1.ReadWriteOnce),
	} {
		if _, _, err := f.Provision(t.Context(), o); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	pv, _, err := f.Provision(t.Context(), options("node1", "pvc-1", v1.ReadWriteOnce))
	if err != nil {
		t.Fatal(err)
	}
	pv.Spec.Local.Path = "/etc"
	if err := f.Delete(t.Context(), pv); err == nil {
		t.Error("a folder that isn't the volume's was removed")
	}
}
