//go:build integration

package laws

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/engine"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/realtimegateway"
)

// planted is Trellis with a RealtimeGateway whose plan is spoilt.
func planted(spoil func(plan *pattern.Plan, g *v1alpha1.RealtimeGateway)) subject {
	return subject{kinds: func() *pattern.Registration {
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
	}}
}

func minimal(t testing.TB) example { return some(t, "realtimegateway-minimal")[0] }

func TestAPlanThatIsNeverTheSameIsCaught(t *testing.T) {
	var calls atomic.Int64
	noisy := planted(func(p *pattern.Plan, _ *v1alpha1.RealtimeGateway) {
		p.Recommendation = fmt.Sprint("call ", calls.Add(1))
	})
	err := noisy.silence(t, minimal(t))
	if err == nil || !strings.Contains(err.Error(), "writes") {
		t.Errorf("the law found %v", err)
	}
}

func TestAnOperatorThatRemembersIsCaught(t *testing.T) {
	sound := trellis
	want, _, _, err := sound.undisturbed(t, minimal(t))
	if err != nil {
		t.Fatal(err)
	}
	// What is made once, from a memory that a crash loses.
	forgetful := planted(func(p *pattern.Plan, g *v1alpha1.RealtimeGateway) {
		p.Children = append(p.Children, pattern.Child{Shared: true, Object: &corev1.ConfigMap{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: g.Namespace, Name: "once",
				Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		}})
	})
	err = forgetful.crash(t, minimal(t), want, 3)
	if err == nil || !strings.Contains(err.Error(), "the end states differ") {
		t.Errorf("the law found %v", err)
	}
}
