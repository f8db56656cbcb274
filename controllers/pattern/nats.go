package pattern

import (
	"fmt"

	"github.com/trellis-dev/trellis/controllers/specs"
)

// NATSPort is where the members of a NATS that Trellis runs serve clients.
const NATSPort = 4222

// MembersService is the name of the Service of an Engine that has a name for each of its members, ready or
// not. The names of the Engine's children start with base.
func MembersService(base string) string { return base + "-pods" }

// NATSURI leads to all members, however many there are: a client tries one after the other. They need not be
// ready, as a member may become so only by what a client tells it.
func NATSURI(base, namespace, clusterDomain string) string {
	return fmt.Sprintf("nats://%s:%d", specs.Host(MembersService(base), namespace, clusterDomain), NATSPort)
}
