//go:build integration

package laws

import (
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// touch changes a label that means nothing on every pattern and child, so that all are looked
// at again. (An annotation of a Deployment would make a new generation of it.)
func touch(namespace string) error {
	objects := framework.Children(ctx, namespace)
	for _, list := range []client.ObjectList{&v1alpha1.RealtimeGatewayList{}, &v1alpha1.EngineList{}} {
		if err := framework.Admin.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return err
		}
		objects = append(objects, framework.Items(list)...)
	}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"example.com/touched":"yes"}}}`))
	for _, obj := range objects {
		if err := framework.Admin.Patch(ctx, obj, patch); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}
