package planlaws

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// Problems are what the laws have against a plan of the named object; source is the data of the
// Secret that it was planned from.
func Problems(kind, name string, plan pattern.Plan, source map[string][]byte) []string {
	var out []string
	seen := map[string]bool{}
	for _, child := range plan.Children {
		at := fmt.Sprintf("%s %s: ", child.GetObjectKind().GroupVersionKind().Kind, child.GetName())
		problems := append(metaProblems(kind, name, child), secrecyProblems(child, plan, source)...)
		problems = append(problems, unless(!seen[at], "it is there twice")...)
		seen[at] = true
		if w, ok := workloadOf(child); ok {
			problems = append(problems, podProblems(w, plan)...)
			problems = append(problems, mountProblems(w, plan)...)
		}
		if s, ok := child.Object.(*corev1.Service); ok {
			problems = append(problems, serviceProblems(s, plan)...)
		}
		if r, ok := child.Object.(*rbacv1.Role); ok {
			problems = append(problems, roleProblems(r)...)
		}
		for _, p := range problems {
			out = append(out, at+p)
		}
	}
	out = append(out, onceProblems(kind, name, plan)...)
	return append(out, bindingProblems(kind, plan)...)
}

// onceProblems are what the laws have against the Jobs of a plan.
func onceProblems(kind, name string, plan pattern.Plan) []string {
	if plan.Once == nil {
		return nil
	}
	job := plan.Once.Job
	out := metaProblems(kind, name, pattern.Child{Object: job})
	// A slot, a number and the pod's own letters are appended.
	out = append(out, unless(len(job.Name) <= 50, "its name is longer than 50 characters")...)
	out = append(out, unless(ptr.Deref(job.Spec.ActiveDeadlineSeconds, 0) > 0 && job.Spec.TTLSecondsAfterFinished != nil, "it has no end")...)
	w := workload{job.Name, 1, job.Spec.Template}
	out = append(append(out, podProblems(w, plan)...), mountProblems(w, plan)...)
	for i := range out {
		out[i] = "Job " + job.Name + ": " + out[i]
	}
	return out
}

func metaProblems(kind, name string, child pattern.Child) []string {
	gvk := child.GetObjectKind().GroupVersionKind()
	out := unless(gvk.Version != "" && gvk.Kind != "", "it does not say what it is")
	out = append(out, unless(child.GetNamespace() == namespace, "it is in namespace %q", child.GetNamespace())...)
	out = append(out, unless(len(validation.IsDNS1123Label(child.GetName())) == 0, "its name is no DNS label")...)
	// The controller's hash is appended to it in a label of the pods.
	out = append(out, unless(gvk.Kind != "StatefulSet" || len(child.GetName()) <= 52, "its name is longer than 52 characters")...)
	out = append(out, unless(child.GetResourceVersion() == "" && child.GetUID() == "" && child.GetCreationTimestamp() == metav1.Time{}, "it is not new")...)
	want := labels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	if !child.Shared {
		want[v1alpha1.LabelKind], want[v1alpha1.LabelName] = kind, name
	}
	return append(out, unless(want.AsSelector().Matches(labels.Set(child.GetLabels())), "it lacks labels of %s", want)...)
}

// placeholder is what Generate replaces; a script's ${name%%…} is none.
var placeholder = regexp.MustCompile(`\$\{[a-zA-Z-]+\}`)

// secrecyProblems finds secret values, or their placeholders, in what is no Secret.
func secrecyProblems(child pattern.Child, plan pattern.Plan, source map[string][]byte) []string {
	if _, ok := child.Object.(*corev1.Secret); ok {
		return nil
	}
	text, err := json.Marshal(child.Object)
	if err != nil {
		return []string{err.Error()}
	}
	out := unless(len(child.Generate) == 0, "it is no Secret and has generated values")
	for _, found := range placeholder.FindAllString(string(text), -1) {
		out = append(out, unless(!generates(plan, found), "it holds a placeholder of a secret")...)
	}
	for key, value := range source {
		out = append(out, unless(!strings.Contains(string(text), string(value)), "it holds the secret %s", key)...)
	}
	return out
}

// generates is true for the placeholder of a value that is made; other texts may look like one.
func generates(plan pattern.Plan, placeholder string) bool {
	for _, child := range plan.Children {
		for key := range child.Generate {
			if placeholder == "${"+key+"}" {
				return true
			}
		}
	}
	return false
}

// mountProblems finds mounts without a volume, and volumes of objects that the plan does not make
// though they are named like its own.
func mountProblems(w workload, plan pattern.Plan) []string {
	var out []string
	volumes := map[string]bool{}
	for _, v := range w.template.Spec.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil {
			out = append(out, unless(makes(plan, "ConfigMap", v.ConfigMap.Name), "it mounts ConfigMap %s, which the plan does not make", v.ConfigMap.Name)...)
		}
		if v.Secret != nil && strings.HasPrefix(v.Secret.SecretName, w.name+"-") {
			out = append(out, unless(makes(plan, "Secret", v.Secret.SecretName), "it mounts Secret %s, which the plan does not make", v.Secret.SecretName)...)
		}
	}
	for _, c := range slices.Concat(w.template.Spec.InitContainers, w.template.Spec.Containers) {
		for _, m := range c.VolumeMounts {
			claimed := m.Name == "data"
			out = append(out, unless(volumes[m.Name] || claimed, "container %s mounts %s, which is no volume", c.Name, m.Name)...)
		}
	}
	return append(out, unless(makes(plan, "ServiceAccount", w.template.Spec.ServiceAccountName), "the plan does not make its service account")...)
}

func makes(plan pattern.Plan, kind, name string) bool {
	for _, child := range plan.Children {
		if child.GetObjectKind().GroupVersionKind().Kind == kind && child.GetName() == name {
			return true
		}
	}
	return false
}

// serviceProblems finds ports that lead nowhere.
func serviceProblems(s *corev1.Service, plan pattern.Plan) []string {
	ports := map[string]bool{}
	for _, child := range plan.Children {
		w, ok := workloadOf(child)
		if !ok || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(w.template.Labels)) {
			continue
		}
		for _, c := range w.template.Spec.Containers {
			for _, p := range c.Ports {
				ports[p.Name] = true
			}
		}
	}
	var out []string
	for _, p := range s.Spec.Ports {
		out = append(out, unless(ports[p.TargetPort.String()], "port %s leads to no container's port", p.Name)...)
	}
	return append(out, unless(len(s.Spec.Selector) > 0, "it selects nothing")...)
}

// bindingProblems holds the binding to servicebinding.io.
func bindingProblems(kind string, plan pattern.Plan) []string {
	for _, child := range plan.Children {
		s, ok := child.Object.(*corev1.Secret)
		if !ok || s.Name != plan.Binding {
			continue
		}
		want := corev1.SecretType("servicebinding.io/" + strings.ToLower(kind))
		out := unless(s.Type == want, "the binding's type is %s, not %s", s.Type, want)
		for _, key := range []string{"type", "provider", "host", "port", "uri"} {
			out = append(out, unless(len(s.Data[key]) > 0, "the binding has no %s", key)...)
		}
		for key := range child.Generate {
			_, given := s.Data[key]
			out = append(out, unless(!given, "the binding's %s is given and generated", key)...)
		}
		return out
	}
	return []string{fmt.Sprintf("the plan does not make its binding %q", plan.Binding)}
}
