package specs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

func TestOwner(t *testing.T) {
	selector := map[string]string{
		"patterns.trellis.dev/kind": "JobQueue", "patterns.trellis.dev/name": "mail", "app.kubernetes.io/component": "plane",
	}
	if diff := cmp.Diff(selector, testOwner.Selector()); diff != "" {
		t.Errorf("selector (-want +got):\n%s", diff)
	}
	labels := map[string]string{
		"patterns.trellis.dev/kind": "JobQueue", "patterns.trellis.dev/name": "mail", "app.kubernetes.io/component": "plane",
		"app.kubernetes.io/managed-by": "trellis", "app.kubernetes.io/name": "mail-jq",
	}
	if diff := cmp.Diff(labels, testOwner.Labels()); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}

func TestChecksum(t *testing.T) {
	if got := Checksum("a", "b"); got != "8fb20ef63ced4145" {
		t.Errorf("the checksum of a and b is %s: another one rolls the pods of every upgrade", got)
	}
	for _, other := range [][]string{{"ab"}, {"a", "b", ""}, {"b", "a"}, {"a"}, {}} {
		if Checksum("a", "b") == Checksum(other...) {
			t.Errorf("a, b and %q have the same checksum", other)
		}
	}
}

func TestSecret(t *testing.T) {
	got := Secret(testOwner, "mail-jq-keys", corev1.SecretTypeOpaque, map[string]string{"uri": "x://${password}"})
	if diff := cmp.Diff(map[string][]byte{"uri": []byte("x://${password}")}, got.Data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if got.Labels[v1alpha1.LabelWatch] != "true" {
		t.Error("the operator would not see it")
	}
}

func TestClaim(t *testing.T) {
	got := Claim(testOwner, "data", v1alpha1.Storage{Size: ptr.To(resource.MustParse("3Gi")), StorageClassName: ptr.To("fast")})
	want := corev1.PersistentVolumeClaimSpec{
		AccessModes:      []corev1.PersistentVolumeAccessMode{"ReadWriteOnce"},
		VolumeMode:       ptr.To(corev1.PersistentVolumeFilesystem),
		StorageClassName: ptr.To("fast"),
		Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse("3Gi")}},
	}
	if diff := cmp.Diff(want, got.Spec); diff != "" {
		t.Errorf("claim (-want +got):\n%s", diff)
	}
}

func TestIngress(t *testing.T) {
	type seen struct {
		Host, Class string
		TLS         []networkingv1.IngressTLS
		Annotations map[string]string
	}
	tests := []struct {
		name string
		from v1alpha1.IngressExposure
		want seen
	}{
		{"a host", v1alpha1.IngressExposure{Host: "a.example.com"}, seen{Host: "a.example.com"}},
		{"all of it", v1alpha1.IngressExposure{
			Host: "a.example.com", ClassName: "nginx", TLSSecretName: "tls", Annotations: map[string]v1alpha1.AnnotationValue{"k": "v"},
		}, seen{
			Host: "a.example.com", Class: "nginx", Annotations: map[string]string{"k": "v"},
			TLS: []networkingv1.IngressTLS{{Hosts: []string{"a.example.com"}, SecretName: "tls"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ing := IngressTo(testOwner, "mail-jq", "mail-jq", "http", &tt.from)
			got := seen{ing.Spec.Rules[0].Host, ptr.Deref(ing.Spec.IngressClassName, ""), ing.Spec.TLS, ing.Annotations}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Ingress (-want +got):\n%s", diff)
			}
			backend := ing.Spec.Rules[0].HTTP.Paths[0].Backend.Service
			if backend.Name != "mail-jq" || backend.Port.Name != "http" {
				t.Errorf("it leads to %v", backend)
			}
		})
	}
}

func TestExternalURL(t *testing.T) {
	route := func(section, hostname string) *v1alpha1.Exposure {
		return &v1alpha1.Exposure{GatewayRef: &v1alpha1.GatewayExposure{Name: "public", SectionName: section, Hostname: hostname}}
	}
	tests := []struct {
		name string
		from *v1alpha1.Exposure
		want string
	}{
		{"nothing", nil, ""},
		{"a load balancer, whose address nobody knows yet", &v1alpha1.Exposure{ServiceType: "LoadBalancer"}, ""},
		{"an Ingress", &v1alpha1.Exposure{Ingress: &v1alpha1.IngressExposure{Host: "a.example.com"}}, "http://a.example.com"},
		{"an Ingress with TLS", &v1alpha1.Exposure{Ingress: &v1alpha1.IngressExposure{Host: "a.example.com", TLSSecretName: "tls"}}, "https://a.example.com"},
		{"a route", route("", "a.example.com"), "http://a.example.com"},
		{"a route of a listener with TLS", route("https-public", "a.example.com"), "https://a.example.com"},
		{"a route under the listener's name", route("https", ""), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ExternalURL(tt.from)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHTTPRoute(t *testing.T) {
	tests := []struct {
		name      string
		from      v1alpha1.GatewayExposure
		parent    gatewayv1.ParentReference
		hostnames []gatewayv1.Hostname
	}{
		{"a name", v1alpha1.GatewayExposure{Name: "public"}, gatewayv1.ParentReference{Name: "public"}, nil},
		{"all of it", v1alpha1.GatewayExposure{Name: "public", Namespace: "platform", SectionName: "https", Hostname: "a.example.com"},
			gatewayv1.ParentReference{Name: "public", Namespace: ptr.To[gatewayv1.Namespace]("platform"), SectionName: ptr.To[gatewayv1.SectionName]("https")},
			[]gatewayv1.Hostname{"a.example.com"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			route := HTTPRouteTo(testOwner, "mail-jq", "mail-jq", 80, &tt.from)
			if diff := cmp.Diff([]gatewayv1.ParentReference{tt.parent}, route.Spec.ParentRefs); diff != "" {
				t.Errorf("parents (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.hostnames, route.Spec.Hostnames); diff != "" {
				t.Errorf("hostnames (-want +got):\n%s", diff)
			}
			backend := route.Spec.Rules[0].BackendRefs[0].BackendObjectReference
			if want := (gatewayv1.BackendObjectReference{Name: "mail-jq", Port: ptr.To[gatewayv1.PortNumber](80)}); !cmp.Equal(want, backend) {
				t.Errorf("it leads to %v", backend)
			}
		})
	}
}
