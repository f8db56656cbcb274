package specs

import (
	"crypto/sha256"
	"encoding/hex"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// AnnotationConfig on a pod template makes pods roll when their configuration changes.
const AnnotationConfig = "patterns.trellis.dev/config"

// ConfigMap with the given files.
func ConfigMap(o Owner, name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: o.Meta(name),
		Data:       data,
	}
}

// Secret of the given type. Values may hold ${key} of generated ones.
func Secret(o Owner, name string, secretType corev1.SecretType, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: o.Meta(name),
		Type:       secretType,
		Data:       map[string][]byte{},
	}
	s.Labels[v1alpha1.LabelWatch] = "true"
	for k, v := range data {
		s.Data[k] = []byte(v)
	}
	return s
}

// Checksum of texts, short enough for an annotation.
func Checksum(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		h.Write([]byte(t))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
