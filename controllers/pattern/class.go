package pattern

import (
	"fmt"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// pickClass returns the class that an object named, or the default. Of several
// defaults the newest wins, as with StorageClasses.
func pickClass(name string, classes []v1alpha1.PatternClass) (*v1alpha1.PatternClass, string) {
	var picked *v1alpha1.PatternClass
	for i := range classes {
		c := &classes[i]
		if name != "" {
			if c.Name == name {
				return c, ""
			}
			continue
		}
		if isDefault(c) && (picked == nil || newer(c, picked)) {
			picked = c
		}
	}
	switch {
	case picked != nil:
		return picked, ""
	case name != "":
		return nil, fmt.Sprintf("PatternClass %q does not exist: create it, or set spec.className to one that does", name)
	default:
		return nil, "no PatternClass is the default: set spec.className, or ask the platform team to annotate a class with " +
			v1alpha1.AnnotationDefaultClass + "=true"
	}
}

// classNameOf is the class that an object named, or the default that it was given first.
func classNameOf(obj v1alpha1.Pattern) string {
	if name := obj.GetPatternSpec().ClassName; name != "" {
		return name
	}
	return obj.GetPatternStatus().DefaultClassName
}

func isDefault(c *v1alpha1.PatternClass) bool {
	return c.Annotations[v1alpha1.AnnotationDefaultClass] == "true"
}

func newer(a, b *v1alpha1.PatternClass) bool {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.Name < b.Name
	}
	return b.CreationTimestamp.Before(&a.CreationTimestamp)
}

// policy is what a deletion of an object does with its data.
func (r *Reconciler) policy(obj v1alpha1.Pattern, class *v1alpha1.PatternClass) v1alpha1.DeletionPolicy {
	if r.kind.keeps(obj) {
		return v1alpha1.DeletionRetain
	}
	return EffectivePolicy(obj, class)
}

// EffectivePolicy is the object's deletion policy, or its class's, or Retain.
func EffectivePolicy(obj v1alpha1.Pattern, class *v1alpha1.PatternClass) v1alpha1.DeletionPolicy {
	if p := obj.GetPatternSpec().DeletionPolicy; p != "" {
		return p
	}
	if class != nil && class.Spec.DeletionPolicy != "" {
		return class.Spec.DeletionPolicy
	}
	return v1alpha1.DeletionRetain
}
