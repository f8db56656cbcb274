package pattern

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// generate fills the generated keys of a Secret: with what the living one has,
// else with new random text. The write is made to fail when the Secret was
// changed since it was read, so that no value is replaced by accident.
func generate(obj, live client.Object, generators map[string]Generator) error {
	secret, ok := obj.(*corev1.Secret)
	if !ok {
		return fmt.Errorf("only Secrets are generated, not %s", kindOf(obj))
	}
	values := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(generators)) {
		value, err := generatedValue(key, generators[key], live)
		if err != nil {
			return err
		}
		values[key] = value
	}
	fill(secret, values)
	if live != nil {
		secret.ResourceVersion = live.GetResourceVersion()
	}
	return nil
}

func generatedValue(key string, g Generator, live client.Object) (string, error) {
	if old, ok := live.(*corev1.Secret); ok && len(old.Data[key]) > 0 {
		return string(old.Data[key]), nil
	}
	random := make([]byte, g.Bytes)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("generate %s: %w", key, err)
	}
	return base64.RawURLEncoding.EncodeToString(random), nil
}

// fill puts the values into the Secret's data and in place of ${key} in its other values.
func fill(secret *corev1.Secret, values map[string]string) {
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	var placeholders []string
	for key, value := range values {
		placeholders = append(placeholders, "${"+key+"}", value)
	}
	replace := strings.NewReplacer(placeholders...)
	for key, text := range secret.Data {
		secret.Data[key] = []byte(replace.Replace(string(text)))
	}
	for key, value := range values {
		secret.Data[key] = []byte(value)
	}
}
