package pattern

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// epoch of all times in these tests.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(minutes int) metav1.Time {
	return metav1.NewTime(epoch.Add(time.Duration(minutes) * time.Minute))
}

// classBuilder makes a PatternClass.
type classBuilder struct{ class v1alpha1.PatternClass }

func makeClass(name string) *classBuilder {
	return &classBuilder{v1alpha1.PatternClass{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: at(0)}}}
}

func (b *classBuilder) isDefault(value string) *classBuilder {
	b.class.Annotations = map[string]string{v1alpha1.AnnotationDefaultClass: value}
	return b
}

func (b *classBuilder) created(minutes int) *classBuilder {
	b.class.CreationTimestamp = at(minutes)
	return b
}

func (b *classBuilder) policy(p v1alpha1.DeletionPolicy) *classBuilder {
	b.class.Spec.DeletionPolicy = p
	return b
}

func (b *classBuilder) offers(types ...v1alpha1.EngineType) *classBuilder {
	for _, t := range types {
		b.class.Spec.Engines = append(b.class.Spec.Engines, v1alpha1.EngineClass{Type: t, Image: "image"})
	}
	return b
}

func (b *classBuilder) limits() *v1alpha1.ClassLimits {
	if b.class.Spec.Limits == nil {
		b.class.Spec.Limits = &v1alpha1.ClassLimits{}
	}
	return b.class.Spec.Limits
}

func (b *classBuilder) playground(p v1alpha1.PlaygroundPolicy) *classBuilder {
	b.class.Spec.Plane.Playground = p
	return b
}

func (b *classBuilder) maxReplicas(n int32) *classBuilder {
	b.limits().MaxReplicas = &n
	return b
}

func (b *classBuilder) maxStorage(size string) *classBuilder {
	b.limits().MaxStorage = quantity(size)
	return b
}

func (b *classBuilder) allows(engines ...string) *classBuilder {
	b.limits().AllowedEngines = engines
	return b
}

func (b *classBuilder) obj() *v1alpha1.PatternClass { return b.class.DeepCopy() }

// gatewayBuilder makes a RealtimeGateway.
type gatewayBuilder struct{ gateway v1alpha1.RealtimeGateway }

func makeGateway(name string) *gatewayBuilder {
	b := &gatewayBuilder{}
	b.gateway.Namespace, b.gateway.Name, b.gateway.Generation = "apps", name, 1
	return b
}

func (b *gatewayBuilder) policy(p v1alpha1.DeletionPolicy) *gatewayBuilder {
	b.gateway.Spec.DeletionPolicy = p
	return b
}

func (b *gatewayBuilder) generation(n int64) *gatewayBuilder {
	b.gateway.Generation = n
	return b
}

func (b *gatewayBuilder) obj() *v1alpha1.RealtimeGateway { return b.gateway.DeepCopy() }

func quantity(text string) *resource.Quantity { return ptr.To(resource.MustParse(text)) }

// claims are pairs of a name and a size.
func claims(pairs ...string) []corev1.PersistentVolumeClaim {
	var out []corev1.PersistentVolumeClaim
	for i := 0; i < len(pairs); i += 2 {
		claim := corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: pairs[i]}}
		claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: *quantity(pairs[i+1])}
		out = append(out, claim)
	}
	return out
}
