//go:build integration

package laws

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers"
	"github.com/trellis-dev/trellis/controllers/engine"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/realtimegateway"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// planted is Trellis with a RealtimeGateway whose plan is spoilt.
func planted(spoil func(plan *pattern.Plan, g *v1alpha1.RealtimeGateway)) subject {
	return newSubject(func() *pattern.Registration {
		r := &pattern.Registration{}
		pattern.Register(r, engine.Definition())
		d := realtimegateway.Definition()
		sound := d.Plan
		d.Plan = func(g *v1alpha1.RealtimeGateway, in pattern.Inputs) (pattern.Plan, error) {
			p, err := sound(g, in)
			spoil(&p, g)
			return p, err
		}
		pattern.Register(r, d)
		return r
	}, nil)
}

// flawed is Trellis that does something wrong between its pipeline and the API server.
func flawed(flaw transport) subject { return newSubject(controllers.Kinds, flaw) }

func sample(t testing.TB, name string) example {
	t.Helper()
	for _, e := range examples(t) {
		if e.name == name {
			return e
		}
	}
	t.Fatalf("there is no example %s", name)
	return example{}
}

// endLike lets a flawed pipeline be compared with the end that a sound one comes to.
func (s subject) endLike(t testing.TB, sound subject, e example) {
	t.Helper()
	end, err := sound.undisturbed(t, e)
	if err != nil {
		t.Fatal(err)
	}
	s.ends[e.name] = end
}

// caught fails the test unless the law found the planted fault, and for its own reason.
func caught(t *testing.T, err error, reason string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), reason) {
		t.Errorf("the law found %v and not %q", err, reason)
	}
}

func TestAPlanThatIsNeverTheSameIsCaught(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	noisy := planted(func(p *pattern.Plan, _ *v1alpha1.RealtimeGateway) {
		p.Recommendation = fmt.Sprint("call ", calls.Add(1))
	})
	// It never settles, or writes when it is touched: which one is a matter of time.
	if err := noisy.silence(t, sample(t, "realtimegateway-minimal")); err == nil {
		t.Error("the law found nothing")
	}
}

// TestAnOperatorThatRemembersIsCaught plants one that notes that it made something before it did.
func TestAnOperatorThatRemembersIsCaught(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	made := map[types.UID]bool{}
	forgetful := planted(func(p *pattern.Plan, g *v1alpha1.RealtimeGateway) {
		mu.Lock()
		defer mu.Unlock()
		if made[g.UID] {
			return
		}
		made[g.UID] = true
		p.Children = append(p.Children, pattern.Child{Shared: true, Object: &corev1.ConfigMap{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: g.Namespace, Name: "once",
				Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		}})
	})
	caught(t, forgetful.crash(t, sample(t, "realtimegateway-minimal"), 3), "- /ConfigMap/once")
}

// TestAnOperatorThatSwallowsARefusalIsCaught plants one that takes every refusal of a write for a success.
func TestAnOperatorThatSwallowsARefusalIsCaught(t *testing.T) {
	t.Parallel()
	deluded := flawed(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			sent, _ := readBody(r)
			resp, err := next.RoundTrip(r)
			if err != nil || !framework.IsWrite(r) || resp.StatusCode < 400 {
				return resp, err
			}
			_ = resp.Body.Close()
			return reply(r, http.StatusOK, sent), nil
		})
	})
	var done atomic.Bool
	ready := func(r *http.Request) bool {
		sent, _ := readBody(r)
		return strings.HasSuffix(r.URL.Path, "/status") && strings.Contains(string(sent), `"status":"True","type":"Ready"`) &&
			strings.Contains(r.URL.Path, "/realtimegateways/") && done.CompareAndSwap(false, true)
	}
	// Of one with an Engine it is said that it starts, before it is ready.
	caught(t, deluded.failure(t, sample(t, "realtimegateway-dedicated"), failOnce(ready, denied)), "is in motion")
}

// TestAnOperatorThatIgnoresEventsIsCaught plants one that never hears that a Deployment has changed.
func TestAnOperatorThatIgnoresEventsIsCaught(t *testing.T) {
	t.Parallel()
	ignorant := flawed(deaf(func(kind string, e event) bool { return kind == "deployments" && e.Type == "MODIFIED" }))
	ignorant.endLike(t, trellis, sample(t, "realtimegateway-minimal"))
	caught(t, ignorant.disturbed(t, sample(t, "realtimegateway-minimal")), "is in motion")
}

// exposed is the change of a gateway that takes an Ingress to make and a deletion to take back.
func exposed(t testing.TB) variant {
	t.Helper()
	for _, p := range places(t) {
		if p.String() == "RealtimeGateway.spec.exposure" {
			for _, v := range variants(p, []example{sample(t, "realtimegateway-minimal"), sample(t, "realtimegateway-ingress")}, 1) {
				return v
			}
		}
	}
	t.Fatal("no change of spec.exposure is drawn")
	return variant{}
}

// withoutEffect answers chosen writes as if they had been carried out.
func withoutEffect(chosen func(*http.Request) bool) transport {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if !chosen(r) {
				return next.RoundTrip(r)
			}
			return reply(r, http.StatusOK, []byte(`{"kind":"Status","apiVersion":"v1","status":"Success"}`)), nil
		})
	}
}

// TestAnOperatorThatForgetsToPruneIsCaught plants one that leaves what a spec does not ask for any more.
func TestAnOperatorThatForgetsToPruneIsCaught(t *testing.T) {
	t.Parallel()
	untidy := flawed(withoutEffect(func(r *http.Request) bool { return r.Method == http.MethodDelete }))
	v := exposed(t)
	untidy.endLike(t, trellis, v.example)
	caught(t, untidy.andBack(t, v), "+ /Ingress/")
}

// TestAnOperatorThatDeletesByNameIsCaught plants one that does not say which object of a name it means.
func TestAnOperatorThatDeletesByNameIsCaught(t *testing.T) {
	t.Parallel()
	blind := flawed(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodDelete {
				r = r.Clone(r.Context())
				r.Body, r.GetBody, r.ContentLength = nil, nil, 0
			}
			return next.RoundTrip(r)
		})
	})
	v := exposed(t)
	blind.endLike(t, trellis, v.example)
	caught(t, blind.andBack(t, v), "no UID as its precondition")
}

// TestAnOperatorThatHangsInDeletionIsCaught plants one that believes its finalizer gone.
func TestAnOperatorThatHangsInDeletionIsCaught(t *testing.T) {
	t.Parallel()
	hanging := flawed(withoutEffect(func(r *http.Request) bool {
		sent, _ := readBody(r)
		return r.Method == http.MethodPatch && strings.Contains(string(sent), `"finalizers":null`)
	}))
	e := sample(t, "realtimegateway-minimal")
	caught(t, hanging.deletion(t, e, v1alpha1.DeletionDelete, nothing), "is still there")
}
