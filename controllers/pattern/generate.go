package pattern

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// annotationRotated on a Secret is the last value of the annotation rotate-credentials that its
// values were made anew for.
const annotationRotated = "patterns.trellis.dev/rotated"

// generate fills the generated keys of a Secret: with what the living one has,
// else with new random text. Those that have a place for the value before are made
// anew once for each value of rotation; value, value before and the mark that it
// was done are one write. The write is made to fail when the Secret was changed
// since it was read, so that no value is replaced by accident.
func generate(obj, live client.Object, generators map[string]Generator, rotation string) error {
	secret, ok := obj.(*corev1.Secret)
	if !ok {
		return fmt.Errorf("only Secrets are generated, not %s", kindOf(obj))
	}
	old, _ := live.(*corev1.Secret)
	rotate := markRotated(secret, old, rotation)
	values, before := map[string]string{}, map[string]string{}
	both := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(generators)) {
		g := generators[key]
		var err error
		if values[key], before[g.Previous], err = generated(key, g, old, rotate); err != nil {
			return err
		}
		both[key] = values[key]
		if g.Previous != "" {
			both[g.Previous] = cmp.Or(before[g.Previous], values[key])
		}
	}
	fill(secret, values, both)
	for key, value := range before {
		if key != "" && value != "" {
			secret.Data[key] = []byte(value)
		}
	}
	if old != nil {
		secret.ResourceVersion = old.ResourceVersion
	}
	return nil
}

// markRotated records what was asked for, and is true when it has not been done yet. What is made only
// now is new, and what nobody asks for any more stays done.
func markRotated(secret, old *corev1.Secret, rotation string) bool {
	done := ""
	if old != nil {
		done = old.Annotations[annotationRotated]
	}
	if rotation == "" {
		rotation = done
	}
	if rotation == "" {
		return false
	}
	setAnnotation(secret, annotationRotated, rotation)
	return old != nil && rotation != done
}

// generated returns a key's value and the one before, empty where there was none.
func generated(key string, g Generator, old *corev1.Secret, rotate bool) (value, before string, err error) {
	if old != nil && len(old.Data[key]) > 0 {
		value, before = string(old.Data[key]), string(old.Data[g.Previous])
		if !rotate || g.Previous == "" {
			return value, before, nil
		}
		before = value
	}
	random := make([]byte, g.Bytes)
	if _, err := rand.Read(random); err != nil {
		return "", "", fmt.Errorf("generate %s: %w", key, err)
	}
	if g.Hex {
		return hex.EncodeToString(random), before, nil
	}
	return base64.RawURLEncoding.EncodeToString(random), before, nil
}

// fill puts the values into the Secret's data, and what named values are in place of ${key} in its other
// ones. Before the first rotation, the value before is named too: it is the value itself.
func fill(secret *corev1.Secret, values, named map[string]string) {
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	var placeholders []string
	for key, value := range named {
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
