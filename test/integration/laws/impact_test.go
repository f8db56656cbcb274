//go:build integration

package laws

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// annotationHoldsData is on what a deletion under the policy Retain keeps.
const annotationHoldsData = "patterns.trellis.dev/holds-data"

// stock is what holds data in a namespace, and what deletions were said to do with it.
type stock struct {
	data     map[string]types.UID
	patterns map[string]v1alpha1.Pattern
}

func takeStock(ns string) (stock, error) {
	out := stock{data: map[string]types.UID{}, patterns: map[string]v1alpha1.Pattern{}}
	objects, err := everything(ns)
	if err != nil {
		return out, err
	}
	for _, obj := range objects {
		_, isClaim := obj.(*corev1.PersistentVolumeClaim)
		if isClaim || obj.GetAnnotations()[annotationHoldsData] == "true" {
			out.data[nameOf(obj)] = obj.GetUID()
		}
	}
	patterns, err := framework.Patterns(ctx, ns)
	for _, p := range patterns {
		out.patterns[nameOf(p)] = p
	}
	return out, err
}

// foretold compares what deletions kept and dropped with what was said before. What the user deleted himself
// goes, whatever another object said of it.
func (s stock) foretold(ns string, asked map[string]bool) error {
	now, err := takeStock(ns)
	if err != nil {
		return err
	}
	alive := func(name string) bool {
		_, pattern := now.patterns[name]
		_, data := now.data[name]
		return pattern || data
	}
	var wrong []error
	dropped := map[string]bool{}
	for name, p := range s.patterns {
		if alive(name) {
			continue
		}
		for _, i := range p.GetPatternStatus().DeletionImpact {
			thing := i.Kind + "/" + i.Name
			dropped[thing] = dropped[thing] || i.Policy == v1alpha1.DeletionDelete
			if asked[thing] && thing != name {
				continue
			}
			if alive(thing) != (i.Policy == v1alpha1.DeletionRetain) {
				wrong = append(wrong, fmt.Errorf("%s: deletionImpact says %s of %s, and that it is there is %t", name, i.Policy, thing, alive(thing)))
			}
		}
	}
	for name := range s.data {
		if !alive(name) && !dropped[name] {
			wrong = append(wrong, fmt.Errorf("%s was dropped, and no deletionImpact said so", name))
		}
	}
	slices.SortFunc(wrong, func(a, b error) int { return len(a.Error()) - len(b.Error()) })
	return errors.Join(wrong...)
}
