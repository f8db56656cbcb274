//go:build integration

package pipeline

import (
	"context"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// gateway of the given class; Redis with two replicas unless changed.
func gateway(namespace, name string, class *v1alpha1.PatternClass, mutate ...func(*v1alpha1.RealtimeGateway)) *v1alpha1.RealtimeGateway {
	g := &v1alpha1.RealtimeGateway{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.RealtimeGatewaySpec{
			Engine: v1alpha1.RealtimeRedis, Replicas: ptr.To[int32](2),
		},
	}
	if class != nil {
		g.Spec.ClassName = class.Name
	}
	for _, m := range mutate {
		m(g)
	}
	return g
}

// reload reads an object again; a missing one is returned empty.
func reload[T client.Object](obj T) func() T {
	return func() T {
		fresh := obj.DeepCopyObject().(T)
		if err := framework.Admin.Get(context.Background(), client.ObjectKeyFromObject(obj), fresh); err != nil {
			var none T
			return none
		}
		return fresh
	}
}

func get[T client.Object](obj T, namespace, name string) (T, error) {
	return obj, framework.Admin.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, obj)
}

// kstatusOf is what Flux, Argo CD and kpt would read.
func kstatusOf(obj client.Object) status.Status {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	Expect(err).NotTo(HaveOccurred())
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	Expect(err).NotTo(HaveOccurred())
	return result.Status
}

// haveCondition matches a pattern whose condition for its present generation has this status and reason.
func haveCondition(kind string, value metav1.ConditionStatus, reason string) OmegaMatcher {
	return WithTransform(func(p v1alpha1.Pattern) string {
		c := meta.FindStatusCondition(p.GetPatternStatus().Conditions, kind)
		switch {
		case c == nil:
			return "no condition " + kind
		case c.ObservedGeneration != p.GetGeneration():
			return "condition of an older generation"
		default:
			return string(c.Status) + " " + c.Reason
		}
	}, Equal(string(value)+" "+reason))
}

func beReady() OmegaMatcher {
	return haveCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}
