package planes

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// KeyInstance of the keys Secret is a text that an object made anew under the policy Delete does not share with the
// one before.
const KeyInstance = "instance"

// BindingSecret is what applications mount: full rights.
func BindingSecret(o specs.Owner, host string) pattern.Child {
	kind := strings.ToLower(o.Kind)
	return pattern.Child{
		Object: specs.Secret(o, pattern.BindingSecretName(o.Base), corev1.SecretType("servicebinding.io/"+kind), map[string]string{
			"type":     kind,
			"provider": v1alpha1.ManagedBy,
			"host":     host,
			"port":     fmt.Sprint(ServicePort),
			"uri":      "http://" + host,
		}),
		Retain:   true,
		Generate: map[string]pattern.Generator{"token": {Bytes: 32, Previous: planeconfig.KeyPreviousToken}},
	}
}

// KeysSecretName is the name of the plane's own Secret.
func KeysSecretName(base string) string { return base + "-keys" }

// KeysSecret is the plane's own: the key of the client tokens it mints, a name for what it keeps in its engine, and
// what else a kind needs.
func KeysSecret(o specs.Owner, more map[string]pattern.Generator) pattern.Child {
	generate := map[string]pattern.Generator{
		"signing-key": {Bytes: 32, Previous: planeconfig.KeyPreviousSigningKey}, KeyInstance: {Bytes: 9},
	}
	for key, g := range more {
		generate[key] = g
	}
	return pattern.Child{
		Object:   specs.Secret(o, KeysSecretName(o.Base), corev1.SecretTypeOpaque, nil),
		Retain:   true,
		Generate: generate,
	}
}
