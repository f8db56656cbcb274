package specs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

var testOwner = Owner{Kind: "JobQueue", Namespace: "apps", Name: "mail", Base: "mail-jq", Component: "plane"}

func pod(overrides ...*v1alpha1.PodTemplate) Pod {
	return Pod{
		Owner:          testOwner,
		Container:      corev1.Container{Name: "plane", Image: "plane:v1"},
		ServiceAccount: "mail-jq",
		UserID:         65532,
		GraceSeconds:   30,
		Annotations:    map[string]string{AnnotationConfig: "abc"},
		Overrides:      overrides,
		Volumes: []corev1.Volume{
			SecretVolume("keys", "mail-jq-keys"), ConfigMapVolume("config", "mail-jq"),
		},
	}
}

// everything that a template can override, with values of its own.
func everything(value string) *v1alpha1.PodTemplate {
	return &v1alpha1.PodTemplate{
		Labels:            map[string]v1alpha1.LabelValue{"team": v1alpha1.LabelValue(value), value: "x"},
		Annotations:       map[string]v1alpha1.AnnotationValue{"note": v1alpha1.AnnotationValue(value), value: "x"},
		NodeSelector:      map[string]v1alpha1.LabelValue{"pool": v1alpha1.LabelValue(value), value: "x"},
		Tolerations:       []corev1.Toleration{{Key: value, Operator: corev1.TolerationOpExists}},
		Affinity:          &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{}},
		PriorityClassName: value,
		ImagePullSecrets:  []v1alpha1.SecretReference{{Name: value}, {Name: "common"}},
	}
}

func TestTemplateOverrides(t *testing.T) {
	first, second := everything("class"), everything("own")
	second.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}
	before := []*v1alpha1.PodTemplate{first.DeepCopy(), second.DeepCopy()}
	got := pod(nil, first, second).Template()

	labels := testOwner.Labels()
	labels["team"], labels["class"], labels["own"] = "own", "x", "x"
	if diff := cmp.Diff(labels, got.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	annotations := map[string]string{AnnotationConfig: "abc", "note": "own", "class": "x", "own": "x"}
	if diff := cmp.Diff(annotations, got.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	want := corev1.PodSpec{
		NodeSelector: map[string]string{"pool": "own", "class": "x", "own": "x"},
		Tolerations: []corev1.Toleration{
			{Key: "class", Operator: corev1.TolerationOpExists}, {Key: "own", Operator: corev1.TolerationOpExists},
		},
		Affinity:          second.Affinity,
		PriorityClassName: "own",
		ImagePullSecrets:  []corev1.LocalObjectReference{{Name: "class"}, {Name: "common"}, {Name: "own"}},
	}
	have := corev1.PodSpec{
		NodeSelector: got.Spec.NodeSelector, Tolerations: got.Spec.Tolerations, Affinity: got.Spec.Affinity,
		PriorityClassName: got.Spec.PriorityClassName, ImagePullSecrets: got.Spec.ImagePullSecrets,
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("overridden (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, []*v1alpha1.PodTemplate{first, second}); diff != "" {
		t.Errorf("the overrides are changed:\n%s", diff)
	}
}

// TestTemplateOfPodIsNotShared shows that a change of one template reaches no other made from the same pod.
func TestTemplateOfPodIsNotShared(t *testing.T) {
	p := pod(everything("class"))
	want := p.Template()
	other := p.Template()
	other.Labels["x"] = "y"
	other.Spec.NodeSelector["x"] = "y"
	other.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels["x"] = "y"
	other.Annotations["x"] = "y"
	if diff := cmp.Diff(want, p.Template()); diff != "" {
		t.Errorf("template (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(pod().Annotations, p.Annotations); diff != "" {
		t.Errorf("the pod's own annotations (-before +after):\n%s", diff)
	}
}

func TestTemplateIsRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := pod(everything("class"), everything("own"))
	// What a kind asks for of its container's security does not count.
	p.Container.SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
	template := p.Template()
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec))
	if !result.Allowed {
		t.Error(result.ForbiddenDetail())
	}
}
