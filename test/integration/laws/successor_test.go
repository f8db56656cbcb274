//go:build integration

package laws

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// successor: Engines are deleted, somebody takes their finalizers away, and others of the same names take over what
// was left. The operator still sees the deletion of the former ones, when the data has been the new ones' for long.
func (s subject) successor(t testing.TB, e example, policy v1alpha1.DeletionPolicy) error {
	e = e.with(setPolicy(policy))
	e.name += "," + string(policy)
	want, err := s.undisturbed(t, e)
	if err != nil {
		return err
	}
	ns := framework.NewNamespace(t)
	var slow atomic.Bool
	op := s.start(t, ns, drip(behind, &slow, "engines"))
	defer op.Stop()
	if err := e.apply(ns); err != nil {
		return err
	}
	if err := reach(op, ns, func() error { return compareAdopted(ns, want.state) }); err != nil {
		return err
	}
	claims := claimsAlive(ns)
	slow.Store(true)
	if err := replace(e, ns); err != nil {
		return err
	}
	if err := until(op, ns, func() error { return seen(e, ns) }); err != nil {
		return fmt.Errorf("made again: %w", err)
	}
	slow.Store(false)
	if err := reach(op, ns, func() error { return compareAdopted(ns, want.state) }); err != nil {
		return fmt.Errorf("made again: %w", err)
	}
	for name, uid := range claims {
		if claimsAlive(ns)[name] != uid {
			err = errors.Join(err, fmt.Errorf("claim %s, which was the new object's, was dropped", name))
		}
	}
	return errors.Join(err, op.guard.hit(ns), op.guard.verdict())
}

// replace deletes the example's patterns by force, and makes them again at once.
func replace(e example, ns string) error {
	for _, p := range e.patterns(ns) {
		if err := framework.Admin.Delete(ctx, p); err != nil {
			return err
		}
		if err := finalizers(p, func([]string) []string { return nil }); err != nil {
			return err
		}
	}
	return e.apply(ns)
}

// seen wants every pattern of the example to have been looked at.
func seen(e example, ns string) error {
	for _, p := range e.patterns(ns) {
		if err := framework.Admin.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		if !slices.Contains(p.GetFinalizers(), "patterns.trellis.dev/pipeline") {
			return fmt.Errorf("%s has not been looked at", nameOf(p))
		}
	}
	return nil
}

// claimsAlive are the claims of a namespace that are not being deleted.
func claimsAlive(ns string) map[string]types.UID {
	out := map[string]types.UID{}
	for _, claim := range framework.ClaimsOf(ctx, ns) {
		if claim.DeletionTimestamp.IsZero() {
			out[claim.Name] = claim.UID
		}
	}
	return out
}

func TestASuccessorKeepsItsData(t *testing.T) {
	for _, e := range some(t, "engine-redis") {
		if !onlyEngines(e) {
			continue
		}
		for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionRetain, v1alpha1.DeletionDelete} {
			check(t, fmt.Sprintf("%s,%s", e.name, policy), func(t *testing.T) error { return trellis.successor(t, e, policy) })
		}
	}
}

func onlyEngines(e example) bool {
	patterns := e.patterns("default")
	for _, p := range patterns {
		if p.GetKind() != "Engine" {
			return false
		}
	}
	return len(patterns) > 0
}

// credulous plants an operator that, to learn what is to be deleted, asks who remembers the former object of a name.
func credulous() transport {
	return func(next http.RoundTripper) http.RoundTripper {
		var mu sync.Mutex
		former := map[string]map[string]any{}
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if framework.IsWatch(r) || path.Base(path.Dir(r.URL.Path)) != "engines" || !strings.Contains(r.URL.Path, "/namespaces/") {
				return next.RoundTrip(r)
			}
			mu.Lock()
			defer mu.Unlock()
			if known := former[r.URL.Path]; known != nil && r.Method == http.MethodGet {
				meta := known["metadata"].(map[string]any)
				meta["deletionTimestamp"] = time.Now().UTC().Format(time.RFC3339)
				body, _ := json.Marshal(known)
				return reply(r, http.StatusOK, body), nil
			}
			resp, err := next.RoundTrip(r)
			if err != nil || resp.StatusCode != http.StatusOK || former[r.URL.Path] != nil {
				return resp, err
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil {
				return nil, err
			}
			var obj map[string]any
			if json.Unmarshal(body, &obj) == nil && obj["metadata"] != nil {
				former[r.URL.Path] = obj
			}
			return reply(r, http.StatusOK, body), nil
		})
	}
}

func TestAnOperatorThatDeletesForASuccessorIsCaught(t *testing.T) {
	t.Parallel()
	e := sample(t, "engine-redis")
	caught(t, flawed(credulous()).successor(t, e, v1alpha1.DeletionDelete), "which was the new object's, was dropped")
}
