package planes

import (
	"time"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Where a plane finds what is mounted; a kind may mount more.
const (
	ConfigDir  = "/etc/trellis/config"
	BindingDir = "/etc/trellis/binding"
	KeysDir    = "/etc/trellis/keys"
)

// How a plane stops; the pod's grace period is the sum.
const (
	drainDelay   = 5 * time.Second
	drainTimeout = 20 * time.Second
	drainSlack   = 5 * time.Second
)

// Config is the part of a plane's configuration that is the same for all kinds.
func Config(o specs.Owner) planeconfig.Config {
	return planeconfig.Config{
		Kind:      o.Kind,
		Namespace: o.Namespace,
		Name:      o.Name,
		Auth:      planeconfig.Auth{TokenFile: BindingDir + "/token", SigningKeyFile: KeysDir + "/signing-key"},
		Drain:     planeconfig.Drain{Delay: planeconfig.Duration(drainDelay), Timeout: planeconfig.Duration(drainTimeout)},
	}
}

// Engine is where a plane finds its engine, an empty one where the plane itself is it. What is of this object in
// it begins with prefix, and with a text of its own that an object made anew does not share.
func Engine(in *pattern.EngineInput, prefix string) planeconfig.Engine {
	if in == nil {
		return planeconfig.Engine{Type: string(v1alpha1.RealtimeMemory)}
	}
	return planeconfig.Engine{
		Type:       string(in.Type),
		URIFile:    in.Dir() + "/uri",
		CAFile:     in.Dir() + "/ca.crt",
		Prefix:     prefix,
		PrefixFile: KeysDir + "/" + KeyInstance,
	}
}

// Texts of a configuration: the whole of it, and that part of it for which pods are made anew.
func Texts(config planeconfig.Config) (text, fixed string, err error) {
	whole, err := planeconfig.Encode(config)
	if err != nil {
		return "", "", err
	}
	part, err := planeconfig.Encode(config.Fixed())
	return string(whole), string(part), err
}
