package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/trellis-dev/trellis/hack/cluster/internal/addons"
	"github.com/trellis-dev/trellis/hack/cluster/internal/member"
)

const (
	bootTimeout  = 3 * time.Minute
	pollInterval = 200 * time.Millisecond
	// hopelessRestarts are more than a slow machine explains.
	hopelessRestarts = 5
)

var errHopeless = errors.New("there is no hope that this mends itself")

// becomeReady waits for the API, and meanwhile imports images; applies the add-ons; and waits for all of it.
func (b *boot) becomeReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	imported := make(chan error, 1)
	go func() { imported <- b.importCatalogue(ctx) }()
	err := b.awaitCluster(ctx)
	if err != nil {
		cancel() // the import's outcome no longer matters, but it must have ended
	}
	return errors.Join(err, <-imported)
}

func (b *boot) awaitCluster(ctx context.Context) error {
	client, err := b.client()
	if err != nil {
		return err
	}
	steps := []struct {
		what string
		met  func(context.Context) error
	}{
		{"the API answers", func(ctx context.Context) error { return apiReady(ctx, client) }},
		{"add-ons are applied", b.applyAddons},
		{"all nodes are Ready", func(ctx context.Context) error {
			return errors.Join(nodesReady(ctx, client, len(b.nodes)), b.nodesReported(ctx, client))
		}},
		{"DNS answers", func(ctx context.Context) error { return deploymentReady(ctx, client, "kube-system", "coredns") }},
	}
	for _, s := range steps {
		if err := eventually(ctx, b.unlessHopeless(s.met)); err != nil {
			return fmt.Errorf("waiting until %s: %w", s.what, err)
		}
		b.Progress.Say("%s", s.what)
	}
	return nil
}

// unlessHopeless ends the wait early when a unit keeps ending: the rest of the time would not mend it.
func (b *boot) unlessHopeless(met func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := met(ctx)
		if err == nil {
			return nil
		}
		for _, name := range memberNames(b.nodes) {
			answer, askErr := member.Status(b.Member(name).Socket())
			if askErr != nil {
				continue
			}
			for _, u := range answer.Units {
				if u.Restarts >= hopelessRestarts {
					return errors.Join(errHopeless, fmt.Errorf("%s of %s ended %d times", u.Name, name, u.Restarts), err)
				}
			}
		}
		return err
	}
}

// client is the administrator's, by way of the loopback port.
func (c *Cluster) client() (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.Timeout = 10 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return client, nil
}

// eventually repeats met until it succeeds. When ctx ends first, the last failure is the reason.
func eventually(ctx context.Context, met func(context.Context) error) error {
	for {
		err := met(ctx)
		if err == nil || errors.Is(err, errHopeless) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pollInterval):
		}
	}
}

func apiReady(ctx context.Context, client kubernetes.Interface) error {
	return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

func (b *boot) applyAddons(ctx context.Context) error {
	manifests, err := addons.Manifests(len(b.nodes))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, b.Executable("kubectl"), "--kubeconfig", b.Kubeconfig(), "apply", "--server-side",
		"--force-conflicts", "--field-manager=trellis-cluster", "-f", "-")
	cmd.Stdin = bytes.NewReader(manifests)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("applying the add-ons: %w\n%s", err, output)
	}
	return nil
}

func nodesReady(ctx context.Context, client kubernetes.Interface, want int) error {
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var waiting []string
	for _, n := range list.Items {
		if !nodeReady(n) {
			waiting = append(waiting, n.Name)
		}
	}
	if len(list.Items) < want || len(waiting) > 0 {
		return fmt.Errorf("%d of %d nodes are registered; not Ready: %s", len(list.Items), want, strings.Join(waiting, ", "))
	}
	return nil
}

// nodesReported makes sure that the nodes started by this boot speak for themselves: after a crash the API still has
// what they said before it.
func (b *boot) nodesReported(ctx context.Context, client kubernetes.Interface) error {
	for _, n := range b.nodes {
		if !b.missing[n.Name] {
			continue
		}
		lease, err := client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, n.Name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("looking for the lease of %s: %w", n.Name, err)
		}
		if lease.Spec.RenewTime == nil || lease.Spec.RenewTime.Time.Before(b.began) {
			return fmt.Errorf("%s has not reported since it was started", n.Name)
		}
	}
	return nil
}

func nodeReady(n corev1.Node) bool {
	for _, condition := range n.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func deploymentReady(ctx context.Context, client kubernetes.Interface, namespace, name string) error {
	d, err := client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if !available(d) {
		return fmt.Errorf("%s has %d of %d replicas available", name, d.Status.AvailableReplicas, d.Status.Replicas)
	}
	return nil
}

func available(d *appsv1.Deployment) bool {
	return d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas > 0 && d.Status.UpdatedReplicas == d.Status.Replicas
}
