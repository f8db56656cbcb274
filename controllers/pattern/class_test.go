package pattern

import (
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

func TestPickClass(t *testing.T) {
	tests := []struct {
		name    string
		wanted  string
		classes []*classBuilder
		// want is the class, problem what is said where there is none.
		want, problem string
	}{
		{"by name", "b", []*classBuilder{makeClass("a").isDefault("true"), makeClass("b")}, "b", ""},
		{"by a name that there is not", "c", []*classBuilder{makeClass("a").isDefault("true")}, "",
			`PatternClass "c" does not exist: create it, or set spec.className to one that does`},
		{"the default", "", []*classBuilder{makeClass("a"), makeClass("b").isDefault("true")}, "b", ""},
		{"the newest of several defaults", "", []*classBuilder{
			makeClass("old").isDefault("true").created(1), makeClass("new").isDefault("true").created(3),
			makeClass("middle").isDefault("true").created(2), makeClass("newest").created(4),
		}, "new", ""},
		{"of defaults of one age the first by name", "", []*classBuilder{
			makeClass("c").isDefault("true"), makeClass("a").isDefault("true"), makeClass("b").isDefault("true"),
		}, "a", ""},
		{"none is the default", "", []*classBuilder{makeClass("a"), makeClass("b").isDefault("false"), makeClass("c").isDefault("")}, "",
			"no PatternClass is the default: set spec.className, or ask the platform team to annotate a class with patternclass.patterns.trellis.dev/is-default-class=true"},
		{"none at all", "", nil, "", "no PatternClass is the default"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var classes []v1alpha1.PatternClass
			for _, c := range tt.classes {
				classes = append(classes, *c.obj())
			}
			for range 2 {
				class, problem := pickClass(tt.wanted, classes)
				got := ""
				if class != nil {
					got = class.Name
				}
				if got != tt.want || !strings.HasPrefix(problem, tt.problem) || (tt.problem == "" && problem != "") {
					t.Errorf("class %q, problem %q; want %q, %q", got, problem, tt.want, tt.problem)
				}
				reverse(classes)
			}
		})
	}
}

// reverse shows that the order of a list is of no matter.
func reverse(classes []v1alpha1.PatternClass) {
	for i, j := 0, len(classes)-1; i < j; i, j = i+1, j-1 {
		classes[i], classes[j] = classes[j], classes[i]
	}
}

func TestPickClassForReaders(t *testing.T) {
	classes := []v1alpha1.PatternClass{*makeClass("a").obj()}
	if class, err := PickClass("a", classes); err != nil || class.Name != "a" {
		t.Errorf("class %v, error %v", class, err)
	}
	if class, err := PickClass("b", classes); err == nil || class != nil {
		t.Errorf("class %v, error %v", class, err)
	}
}

func TestClassNameOf(t *testing.T) {
	tests := []struct{ name, own, given, want string }{
		{"its own", "a", "b", "a"},
		{"the default that it was given first", "", "b", "b"},
		{"neither", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := makeGateway("rooms").obj()
			g.Spec.ClassName, g.Status.DefaultClassName = tt.own, tt.given
			if got := classNameOf(g); got != tt.want {
				t.Errorf("class is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEffectivePolicy(t *testing.T) {
	const (
		none   = v1alpha1.DeletionPolicy("")
		keep   = v1alpha1.DeletionRetain
		remove = v1alpha1.DeletionDelete
	)
	tests := []struct {
		name  string
		own   v1alpha1.DeletionPolicy
		class *v1alpha1.PatternClass
		want  v1alpha1.DeletionPolicy
	}{
		{"its own", remove, makeClass("a").policy(keep).obj(), remove},
		{"its own, without a class", remove, nil, remove},
		{"the class's", none, makeClass("a").policy(remove).obj(), remove},
		{"neither says", none, makeClass("a").obj(), keep},
		{"without a class", none, nil, keep},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := EffectivePolicy(makeGateway("rooms").policy(tt.own).obj(), tt.class); got != tt.want {
				t.Errorf("policy is %s, want %s", got, tt.want)
			}
		})
	}
}
