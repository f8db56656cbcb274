package pattern

import (
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// compose is the plan of a kind with the Engines that it uses, where Trellis makes them, and the tokens of its sinks.
func compose(k kind, obj v1alpha1.Pattern, in Inputs) (Plan, error) {
	p, err := k.plan(obj, in)
	if err != nil {
		return Plan{}, fmt.Errorf("plan %s: %w", k.name(), err)
	}
	p.Children = append(sinkTokens(k, obj, in), p.Children...)
	var engines []Child
	for _, e := range in.Engines() {
		if !e.Given {
			engines = append(engines, engineChild(k, obj, in.Class, e))
		}
	}
	p.Children = append(engines, p.Children...)
	return p, nil
}

// engineChild is the Engine that a pattern uses. It names its class, so that
// another default does not move it.
func engineChild(k kind, obj v1alpha1.Pattern, class *v1alpha1.PatternClass, in *EngineInput) Child {
	e := &v1alpha1.Engine{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Engine"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: obj.GetNamespace(),
			Name:      in.Name,
			Labels:    map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
		},
		Spec: v1alpha1.EngineSpec{
			PatternSpec: v1alpha1.PatternSpec{ClassName: class.Name},
			Type:        in.Type,
		},
	}
	if !in.Dedicated {
		return Child{Object: e, Shared: true}
	}
	e.Labels[v1alpha1.LabelKind] = k.name()
	e.Labels[v1alpha1.LabelName] = obj.GetName()
	e.Spec.DeletionPolicy = obj.GetPatternSpec().DeletionPolicy
	if k.keeps(obj) {
		e.Spec.DeletionPolicy = v1alpha1.DeletionRetain
	}
	return Child{Object: e, Retain: true}
}

// Preview is what a plan is made from where nothing can be looked up.
type Preview struct {
	Class         *v1alpha1.PatternClass
	ClusterDomain string
	// Source stands for the data of an external engine's Secret.
	Source map[string][]byte
	// Kinds that sinks may name.
	Kinds *Registration
}

// PlanOf is what an apply of obj would create: nothing is looked up and no
// secret is made. An error says why the class or the plan refuses it.
func PlanOf[T v1alpha1.Pattern](d Definition[T], obj T, p Preview) (Plan, error) {
	return preview(d, obj, p)
}

// Plan is PlanOf for an object of any registered kind.
func (g *Registration) Plan(kindName string, obj v1alpha1.Pattern, p Preview) (Plan, error) {
	for _, k := range g.kinds {
		if k.name() == kindName {
			p.Kinds = g
			return preview(k, obj, p)
		}
	}
	return Plan{}, fmt.Errorf("kind %s is not registered", kindName)
}

// New returns an empty object of a registered kind, nil for any other.
func (g *Registration) New(kindName string) v1alpha1.Pattern {
	for _, k := range g.kinds {
		if k.name() == kindName {
			return k.newObject()
		}
	}
	return nil
}

func preview(k kind, obj v1alpha1.Pattern, p Preview) (Plan, error) {
	needs := k.needs(obj, p.Class)
	if v := admit(admission{class: p.Class, needs: needs}); !v.OK {
		return Plan{}, fmt.Errorf("%s: %s", v.Reason, v.Message)
	}
	in := Inputs{Class: p.Class, ClusterDomain: p.ClusterDomain, Source: p.Source}
	kinds := []kind{k}
	if p.Kinds != nil {
		kinds = p.Kinds.kinds
	}
	err := checkSinks(obj.GetPatternSpec().Sinks)
	if err != nil {
		return Plan{}, fmt.Errorf("%s: %w", v1alpha1.ReasonSpecInvalid, err)
	}
	if in.Sinks, err = receivers(kinds, k, obj, p.ClusterDomain); err != nil {
		return Plan{}, fmt.Errorf("%s: %w", v1alpha1.ReasonReferenceInvalid, err)
	}
	in.resolveEngines(obj, needs)
	return compose(k, obj, in)
}

// PickClass returns the class that an object named, or the default one. An error says what to do.
func PickClass(name string, classes []v1alpha1.PatternClass) (*v1alpha1.PatternClass, error) {
	class, problem := pickClass(name, classes)
	if class == nil {
		return nil, errors.New(problem)
	}
	return class, nil
}
