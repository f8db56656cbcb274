//go:build integration

package laws

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/shardset"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// plantedShards is Trellis with a ShardSet of whose plan each child is spoilt.
func plantedShards(spoil func(c pattern.Child, s *v1alpha1.ShardSet)) subject {
	return newSubject(func() *pattern.Registration {
		r := &pattern.Registration{}
		d := shardset.Definition()
		sound := d.Plan
		d.Plan = func(s *v1alpha1.ShardSet, in pattern.Inputs) (pattern.Plan, error) {
			p, err := sound(s, in)
			for _, c := range p.Children {
				spoil(c, s)
			}
			return p, err
		}
		pattern.Register(r, d)
		return r
	}, nil)
}

// TestAnOperatorThatStopsFullShardsIsCaught plants one that runs as many as are asked for.
func TestAnOperatorThatStopsFullShardsIsCaught(t *testing.T) {
	t.Parallel()
	hasty := plantedShards(func(c pattern.Child, s *v1alpha1.ShardSet) {
		if sts, ok := c.Object.(*appsv1.StatefulSet); ok {
			sts.Spec.Replicas = ptr.To(s.Spec.Shards)
		}
	})
	caught(t, hasty.emptied(t, sample(t, "shardset-minimal"), damages[0]), "which holds something")
}

// TestAnOperatorThatTrustsAnOldTableIsCaught plants one that reads of a table what it has read of it first.
func TestAnOperatorThatTrustsAnOldTableIsCaught(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	first := map[string][]byte{}
	trusting := flawed(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodGet || framework.IsWatch(r) || !strings.HasSuffix(r.URL.Path, ringSuffix) {
				return next.RoundTrip(r)
			}
			mu.Lock()
			defer mu.Unlock()
			if old := first[r.URL.Path]; old != nil {
				return reply(r, http.StatusOK, old), nil
			}
			resp, err := next.RoundTrip(r)
			if err != nil || resp.StatusCode != http.StatusOK {
				return resp, err
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err == nil && strings.Contains(string(body), planeconfig.RingTableKey) {
				first[r.URL.Path] = body
			}
			return reply(r, http.StatusOK, body), err
		})
	})
	caught(t, trusting.emptied(t, sample(t, "shardset-minimal"), damages[0]), "which holds something")
}

// TestAnOperatorThatWritesATableIsCaught plants one that has an opinion on what the mover publishes.
func TestAnOperatorThatWritesATableIsCaught(t *testing.T) {
	t.Parallel()
	meddling := plantedShards(func(c pattern.Child, _ *v1alpha1.ShardSet) {
		if cm, ok := c.Object.(*corev1.ConfigMap); ok && strings.HasSuffix(cm.Name, ringSuffix) {
			cm.Data = map[string]string{"note": "the table of the shards"}
		}
	})
	caught(t, meddling.emptied(t, sample(t, "shardset-minimal"), damages[0]), "which is the mover's")
}
