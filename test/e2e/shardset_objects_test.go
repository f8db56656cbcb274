//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

const (
	counterImage = "ghcr.io/trellis-dev/example-counter:1"
	counterPort  = 9000
	partitions   = 64
)

// counters is a ShardSet of examples/sharded-counter with a claim each, unless changed.
func counters(namespace, name string, shards int32, mutate ...func(*v1alpha1.ShardSet)) *v1alpha1.ShardSet {
	s := &v1alpha1.ShardSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ShardSetSpec{
			Shards: shards, Partitions: partitions,
			Key: v1alpha1.ShardKey{Path: "/counters/{key}/{rest...}"},
			Template: v1alpha1.ShardTemplate{
				Image: counterImage, Port: counterPort, ReadyPath: "/readyz", DrainTimeout: &metav1.Duration{Duration: 5 * time.Second},
			},
			Storage: &v1alpha1.ShardStorage{Size: ptr.To(resource.MustParse("16Mi"))},
			Resharding: v1alpha1.ShardResharding{
				Mode: v1alpha1.ReshardByHook, MaxMoving: 4, PauseLimit: &metav1.Duration{Duration: 3 * time.Second},
				Hook: &v1alpha1.ShardHook{ExportPath: "/partitions/{partition}", ImportPath: "/partitions/{partition}"},
			},
		},
	}
	for _, m := range mutate {
		m(s)
	}
	return s
}

// shardPods and routerPods are those of a ShardSet, by name; with those that are on their way out.
func shardPods(s *v1alpha1.ShardSet) []corev1.Pod  { return shardSetPods(s, v1alpha1.ComponentShard) }
func routerPods(s *v1alpha1.ShardSet) []corev1.Pod { return shardSetPods(s, v1alpha1.ComponentPlane) }

func shardSetPods(s *v1alpha1.ShardSet, component string) []corev1.Pod {
	return podsOf(s.Namespace, client.MatchingLabels{
		v1alpha1.LabelKind: "ShardSet", v1alpha1.LabelName: s.Name, v1alpha1.LabelComponent: component,
	})
}

// gate is how a test gets to a ShardSet's routers.
type gate struct{ url, token string }

func gateOf(t *testing.T, s *v1alpha1.ShardSet) gate {
	t.Helper()
	binding := get(t, &corev1.Secret{}, s.Namespace, s.Status.Binding.Name)
	service, _, _ := strings.Cut(string(binding.Data["host"]), ".")
	return gate{url: "http://" + forwardService(t, s.Namespace, service, 80), token: string(binding.Data["token"])}
}

// ask with headers, by name and value in turn, for the status and what is said. The status is 0 where nothing is.
func (g gate) ask(t *testing.T, method, path, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, strings.NewReader(body))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	if g.token != "" {
		req.Header.Set("Authorization", "Bearer "+g.token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: shardTimeout}).Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// answered asks until there is an answer other than to come again: on a busy machine there may be none in time.
func (g gate) answered(t *testing.T, method, path, body string, headers ...string) (status int, text string) {
	t.Helper()
	NewWithT(t).Eventually(func() int {
		status, text = g.ask(t, method, path, body, headers...)
		return status
	}, patience, often).ShouldNot(BeElementOf(0, http.StatusServiceUnavailable), func() string { return text })
	return status, text
}

// ringMap is the ConfigMap in which the table is published.
func ringMap(s *v1alpha1.ShardSet) client.ObjectKey {
	return client.ObjectKey{Namespace: s.Namespace, Name: s.Name + "-shs-ring"}
}

// ringOf is what is published now.
func ringOf(s *v1alpha1.ShardSet) (planeconfig.RingState, error) {
	published := &corev1.ConfigMap{}
	if err := admin.Get(ctx, ringMap(s), published); err != nil {
		return planeconfig.RingState{}, err
	}
	return planeconfig.ParseRing(published.Data)
}

// ringSettled waits until so many shards own all partitions, none of which is on its way, and those who had them forgot them.
func ringSettled(t *testing.T, s *v1alpha1.ShardSet, shards int) ring.Table {
	t.Helper()
	state := planeconfig.RingState{}
	NewWithT(t).Eventually(func() (string, error) {
		var err error
		if state, err = ringOf(s); err != nil || !state.Published() {
			return "nothing is published", err
		}
		left := len(ring.Diff(state.Table, state.Target))
		return fmt.Sprintf("%d members, %d partitions to move, %d moving, %d to be forgotten",
			len(state.Target.Members), left, len(state.Table.Moves), len(state.Dropping)), nil
	}, patience, often).Should(Equal(fmt.Sprintf("%d members, 0 partitions to move, 0 moving, 0 to be forgotten", shards)))
	return state.Table
}

// tables records those that are published, until the test ends.
type tables struct {
	mu   sync.Mutex
	seen []ring.Table
	errs []error
}

func watchTables(t *testing.T, s *v1alpha1.ShardSet) *tables {
	t.Helper()
	watching, err := client.NewWithWatch(config, client.Options{Scheme: admin.Scheme()})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	key := ringMap(s)
	w, err := watching.Watch(ctx, &corev1.ConfigMapList{}, client.InNamespace(key.Namespace),
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", key.Name)})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	out, done := &tables{}, make(chan struct{})
	go func() {
		defer close(done)
		for e := range w.ResultChan() {
			if published, ok := e.Object.(*corev1.ConfigMap); ok && e.Type != watch.Deleted {
				out.add(planeconfig.ParseRing(published.Data))
			}
		}
	}()
	t.Cleanup(func() { w.Stop(); <-done })
	return out
}

func (s *tables) add(state planeconfig.RingState, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.errs = append(s.errs, err)
	} else if state.Published() {
		s.seen = append(s.seen, state.Table)
	}
}

// all that were seen, in the order of their epochs.
func (s *tables) all(t *testing.T) []ring.Table {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	NewWithT(t).Expect(s.errs).To(BeEmpty(), "what was published and can not be read")
	NewWithT(t).Expect(s.seen).NotTo(BeEmpty(), "tables that were published")
	for i, table := range s.seen[1:] {
		NewWithT(t).Expect(table.Epoch).To(BeNumerically(">=", s.seen[i].Epoch), "epochs grow")
	}
	return append([]ring.Table(nil), s.seen...)
}

// holdings are how many counters a shard has by partition, as its container says.
func holdings(t *testing.T, pod *corev1.Pod) map[int]int {
	t.Helper()
	out := map[int]int{}
	status, text := gate{url: "http://" + forwardPod(t, pod, counterPort)}.answered(t, http.MethodGet, "/partitions", "")
	NewWithT(t).Expect(status).To(Equal(http.StatusOK), text)
	NewWithT(t).Expect(json.Unmarshal([]byte(text), &out)).To(Succeed())
	return out
}
