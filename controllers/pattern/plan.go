package pattern

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// compose is the plan of a kind with the Engine that it uses, where Trellis makes that.
func compose(k kind, obj v1alpha1.Pattern, in Inputs) (Plan, error) {
	p, err := k.plan(obj, in)
	if err != nil {
		return Plan{}, fmt.Errorf("plan %s: %w", k.name(), err)
	}
	if in.Engine != nil && !in.Engine.Given {
		p.Children = append([]Child{engineChild(k, obj, in)}, p.Children...)
	}
	return p, nil
}

// engineChild is the Engine that a pattern uses. It names its class, so that
// another default does not move it.
func engineChild(k kind, obj v1alpha1.Pattern, in Inputs) Child {
	e := &v1alpha1.Engine{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Engine"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: obj.GetNamespace(),
			Name:      in.Engine.Name,
			Labels:    map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
		},
		Spec: v1alpha1.EngineSpec{
			PatternSpec: v1alpha1.PatternSpec{ClassName: in.Class.Name},
			Type:        in.Engine.Type,
		},
	}
	if !in.Engine.Dedicated {
		return Child{Object: e, Shared: true}
	}
	e.Labels[v1alpha1.LabelKind] = k.name()
	e.Labels[v1alpha1.LabelName] = obj.GetName()
	e.Spec.DeletionPolicy = obj.GetPatternSpec().DeletionPolicy
	return Child{Object: e, Retain: true}
}

// PlanOf is what an apply of obj would create, from the class alone: nothing is
// looked up and no secret is made. source stands for the data of an external
// engine's Secret.
func PlanOf[T v1alpha1.Pattern](d Definition[T], obj T, class *v1alpha1.PatternClass, clusterDomain string, source map[string][]byte) (Plan, error) {
	needs := d.Needs(obj, class)
	if v := admit(admission{class: class, needs: needs}); !v.OK {
		return Plan{}, fmt.Errorf("%s: %s", v.Reason, v.Message)
	}
	in := Inputs{Class: class, ClusterDomain: clusterDomain, Source: source}
	if needs.Engine != nil {
		in.Engine = needs.Engine.Input(obj, class)
	}
	return compose(d, obj, in)
}
