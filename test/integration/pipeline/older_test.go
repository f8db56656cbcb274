//go:build integration

package pipeline

import (
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// olderTemplate applies, as Trellis, a Deployment whose pods have one more environment
// variable, as an operator of another version would have, and returns the pod template.
func olderTemplate(g *WithT, namespace, name string) corev1.PodTemplateSpec {
	d, err := get(&appsv1.Deployment{}, namespace, name)
	g.Expect(err).NotTo(HaveOccurred())
	ac, err := appsv1ac.ExtractDeployment(d, v1alpha1.ManagedBy)
	g.Expect(err).NotTo(HaveOccurred())
	ac.Spec.Template.Spec.Containers[0].WithEnv(corev1ac.EnvVar().WithName("OLDER").WithValue("yes"))
	ac.WithAnnotations(map[string]string{"patterns.trellis.dev/planned": "older"})
	g.Expect(framework.Admin.Apply(ctx, ac, client.FieldOwner(v1alpha1.ManagedBy), client.ForceOwnership)).To(Succeed())
	older := reload(d)()
	g.Expect(older.Spec.Template.Spec.Containers[0].Env).To(ContainElement(HaveField("Name", "OLDER")))
	return older.Spec.Template
}

// olderShards is olderTemplate of a StatefulSet.
func olderShards(g *WithT, namespace, name string) corev1.PodTemplateSpec {
	d, err := get(&appsv1.StatefulSet{}, namespace, name)
	g.Expect(err).NotTo(HaveOccurred())
	ac, err := appsv1ac.ExtractStatefulSet(d, v1alpha1.ManagedBy)
	g.Expect(err).NotTo(HaveOccurred())
	ac.Spec.Template.Spec.Containers[0].WithEnv(corev1ac.EnvVar().WithName("OLDER").WithValue("yes"))
	ac.WithAnnotations(map[string]string{"patterns.trellis.dev/planned": "older"})
	g.Expect(framework.Admin.Apply(ctx, ac, client.FieldOwner(v1alpha1.ManagedBy), client.ForceOwnership)).To(Succeed())
	return reload(d)().Spec.Template
}
