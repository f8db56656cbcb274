// Package addons renders what every cluster gets once its API answers: CoreDNS and the default StorageClass.
package addons

import (
	"bytes"
	"embed"
	"fmt"
	"text/template"

	"github.com/trellis-dev/trellis/hack/cluster/internal/images"
	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
	"github.com/trellis-dev/trellis/hack/cluster/internal/provisioner"
)

//go:embed manifests/*.yaml
var manifests embed.FS

var parsed = template.Must(template.New("").Option("missingkey=error").ParseFS(manifests, "manifests/*.yaml"))

type view struct {
	Domain, DNSService, CoreDNSImage, Provisioner string
	DNSReplicas                                   int
}

// Manifests is one stream of YAML for a cluster of the given number of nodes.
func Manifests(nodes int) ([]byte, error) {
	v := view{
		Domain: netplan.Domain, DNSService: netplan.DNSService.String(), CoreDNSImage: images.CoreDNSImage,
		Provisioner: provisioner.Name, DNSReplicas: min(nodes, 2),
	}
	var out bytes.Buffer
	for _, name := range []string{"storage.yaml", "coredns.yaml"} {
		out.WriteString("---\n")
		if err := parsed.ExecuteTemplate(&out, name, v); err != nil {
			return nil, fmt.Errorf("rendering %s: %w", name, err)
		}
	}
	return out.Bytes(), nil
}
