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

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// successor: patterns are deleted, somebody takes their finalizers away, and others of the same names take over what
// was left. The operator still sees the deletion of the former ones, when the data has been the new ones' for long.
func (s subject) successor(t testing.TB, e example, policy v1alpha1.DeletionPolicy) error {
	e = e.with(setPolicy(policy))
	e.name += "," + string(policy)
	want, err := s.undisturbed(t, e)
	if err != nil {
		return err
	}
	ns := e.namespace(t)
	var slow atomic.Bool
	op := s.start(t, ns, drip(behind, &slow, watchedOf(e)...))
	defer op.Stop()
	if err := e.apply(ns); err != nil {
		return err
	}
	if err := reach(op, ns, func() error { return compareAdopted(ns, want.state) }); err != nil {
		return err
	}
	claims, err := inheritance(ns, policy)
	if err != nil {
		return err
	}
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

// watchedOf are the kinds of the example's patterns and of the Engines that are made for them, as URLs name them.
func watchedOf(e example) []string {
	out := []string{"engines"}
	for _, p := range e.patterns("default") {
		if kind := strings.ToLower(p.GetKind()) + "s"; !slices.Contains(out, kind) {
			out = append(out, kind)
		}
	}
	return out
}

// inheritance are the claims that patterns of the same names take over, when the finalizers of the former ones were
// taken away. An Engine that is a pattern's own goes with it, by the cluster's hand and not by Trellis's, and with it
// its claims where the policy says so.
func inheritance(ns string, policy v1alpha1.DeletionPolicy) (map[string]types.UID, error) {
	out := claimsAlive(ns)
	patterns, err := framework.Patterns(ctx, ns)
	if err != nil || policy == v1alpha1.DeletionRetain {
		return out, err
	}
	for _, p := range patterns {
		if metav1.GetControllerOf(p) == nil {
			continue
		}
		for _, i := range p.GetPatternStatus().DeletionImpact {
			if i.Kind == "PersistentVolumeClaim" {
				delete(out, i.Name)
			}
		}
	}
	return out, nil
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
	for _, e := range some(t, "engine-redis", "jobqueue-dedicated", "jobqueue-gateway", "shardset-counter") {
		for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionRetain, v1alpha1.DeletionDelete} {
			check(t, fmt.Sprintf("%s,%s", e.name, policy), func(t *testing.T) error { return trellis.successor(t, e, policy) })
		}
	}
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
	for _, name := range []string{"engine-redis", "jobqueue-gateway"} {
		err := flawed(credulous()).successor(t, sample(t, name), v1alpha1.DeletionDelete)
		caught(t, err, "which was the new object's, was dropped")
	}
}
