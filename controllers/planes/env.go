package planes

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// Env is the environment of a user's container.
func Env(vars []v1alpha1.JobEnvVar) []corev1.EnvVar {
	var out []corev1.EnvVar
	for _, v := range vars {
		e := corev1.EnvVar{Name: v.Name, Value: ptr.Deref(v.Value, "")}
		switch from := v.ValueFrom; {
		case from == nil:
		case from.SecretKeyRef != nil:
			e.ValueFrom = &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: from.SecretKeyRef.Name}, Key: from.SecretKeyRef.Key,
			}}
		case from.ConfigMapKeyRef != nil:
			e.ValueFrom = &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: from.ConfigMapKeyRef.Name}, Key: from.ConfigMapKeyRef.Key,
			}}
		}
		out = append(out, e)
	}
	return out
}

// EnvSecrets must exist before there are pods. field is where the spec has the variables.
func EnvSecrets(vars []v1alpha1.JobEnvVar, field string) []pattern.SecretNeed {
	var out []pattern.SecretNeed
	for i, v := range vars {
		if v.ValueFrom == nil || v.ValueFrom.SecretKeyRef == nil {
			continue
		}
		ref := v.ValueFrom.SecretKeyRef
		out = append(out, pattern.SecretNeed{Name: ref.Name, Key: ref.Key, Field: fmt.Sprintf("%s[%d].valueFrom.secretKeyRef", field, i)})
	}
	return out
}
