package cluster

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/trellis-dev/trellis/hack/cluster/internal/layout"
	"github.com/trellis-dev/trellis/hack/cluster/internal/member"
	"github.com/trellis-dev/trellis/hack/cluster/internal/netplan"
)

// Forward makes a Service's port reachable at a loopback port of the host, and returns its address. The forward
// belongs to the control plane's namespace: it lasts until the cluster goes down, whatever happens to the pods, and
// asking for it again gives the same address. port is a name or a number; local 0 chooses a free port.
func (c *Cluster) Forward(ctx context.Context, service, port string, local int) (string, error) {
	lock, err := c.lock(ctx)
	if err != nil {
		return "", err
	}
	defer lock.Release()
	r, err := c.requireRunning()
	if err != nil {
		return "", err
	}
	target, err := c.forwardTarget(ctx, service, port)
	if err != nil {
		return "", err
	}
	for _, f := range r.Forwards {
		if f.Target == target && (local == 0 || strings.HasSuffix(f.Listen, ":"+strconv.Itoa(local))) {
			return f.Listen, nil
		}
	}
	listener, number, err := listen(local)
	if err != nil {
		return "", err
	}
	defer listener.Close()
	if err := member.AddForward(c.Member(layout.ControlName).Socket(), listener, target); err != nil {
		return "", err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(number))
	r.Forwards = append(r.Forwards, member.Forward{Listen: address, Target: target})
	return address, c.store(r)
}

// forwardTarget is the Service's name in the cluster's DNS, and its port. The name is absolute: the dot at its end
// keeps the resolver from trying others.
func (c *Cluster) forwardTarget(ctx context.Context, service, port string) (string, error) {
	namespace, name, found := strings.Cut(service, "/")
	if !found {
		return "", fmt.Errorf("%q is no Service: write NAMESPACE/NAME", service)
	}
	client, err := c.client()
	if err != nil {
		return "", err
	}
	svc, err := client.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("looking for the Service %s: %w", service, err)
	}
	number, err := portNumber(svc, port)
	if err != nil {
		return "", err
	}
	host := fmt.Sprintf("%s.%s.svc.%s.", name, namespace, netplan.Domain)
	return net.JoinHostPort(host, strconv.Itoa(int(number))), nil
}

// portNumber finds a Service's port by name or number. A headless Service's name leads to the pods themselves, and so
// its port must be theirs.
func portNumber(svc *corev1.Service, port string) (int32, error) {
	var have []string
	for _, p := range svc.Spec.Ports {
		have = append(have, strings.TrimPrefix(p.Name+"=", "=")+strconv.Itoa(int(p.Port)))
		if p.Name != port && strconv.Itoa(int(p.Port)) != port {
			continue
		}
		if p.Protocol != "" && p.Protocol != corev1.ProtocolTCP {
			return 0, fmt.Errorf("port %s of %s/%s is %s; only TCP can be forwarded", port, svc.Namespace, svc.Name, p.Protocol)
		}
		if svc.Spec.ClusterIP == corev1.ClusterIPNone && p.TargetPort.Type == intstr.Int && p.TargetPort.IntVal != 0 {
			return p.TargetPort.IntVal, nil
		}
		return p.Port, nil
	}
	return 0, fmt.Errorf("the Service %s/%s has no port %s; it has %s", svc.Namespace, svc.Name, port, strings.Join(have, ", "))
}
