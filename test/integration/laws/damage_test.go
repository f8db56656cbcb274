//go:build integration

package laws

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// damage is what befalls a table that was published.
type damage struct {
	name string
	// to is what becomes of the data; nil where the ConfigMap is deleted.
	to func(map[string]string) map[string]string
	// refused says that the ShardSet is to say so.
	refused bool
	// quick is true of one that is in a quick run too.
	quick bool
}

func onlyTable(change func(string) string) func(map[string]string) map[string]string {
	return func(data map[string]string) map[string]string {
		out := maps.Clone(data)
		out[planeconfig.RingTableKey] = change(out[planeconfig.RingTableKey])
		return out
	}
}

var damages = []damage{
	{"nothing", maps.Clone[map[string]string], false, true},
	{"deleted", nil, false, true},
	{"without data", func(map[string]string) map[string]string { return nil }, false, false},
	{"no JSON", onlyTable(func(string) string { return "{" }), true, true},
	{"breaks off", onlyTable(func(text string) string { return text[:len(text)/2] }), true, false},
	{"of another number of partitions", onlyTable(func(text string) string {
		return `{"version":1,"epoch":9,"partitions":1,"members":[{"id":"x"}],"owners":[0]}`
	}), true, false},
	{"of others", onlyTable(func(text string) string { return strings.ReplaceAll(text, "-shs-", "-other-") }), true, true},
	{"without a state", func(data map[string]string) map[string]string {
		return map[string]string{planeconfig.RingTableKey: data[planeconfig.RingTableKey], planeconfig.RingStateKey: "[]"}
	}, true, false},
}

// befall damages the table, wants nothing to be stopped or deleted for it when the spec is changed besides, and mends what does not
// mend itself.
func (d damage) befall(op *operator, of set) error {
	cm, err := of.ring()
	if err != nil {
		return err
	}
	claims, before := claimsAlive(of.ns), cm.DeepCopy()
	if d.to == nil {
		err = framework.Admin.Delete(ctx, cm)
	} else {
		cm.Data = d.to(cm.Data)
		err = framework.Admin.Patch(ctx, cm, client.MergeFrom(before))
	}
	if err = errors.Join(err, of.scale(fewShards+1)); err != nil {
		return err
	}
	err = until(op, of.ns, func() error { return errors.Join(of.runs(op, manyShards), of.says(d.refused)) })
	if err != nil {
		return err
	}
	if now := claimsAlive(of.ns); !maps.Equal(claims, now) {
		return fmt.Errorf("the claims were %v and are %v", claims, now)
	}
	if d.refused {
		mended := cm.DeepCopy()
		mended.Data = before.Data
		err = framework.Admin.Patch(ctx, mended, client.MergeFrom(cm))
	}
	return errors.Join(err, of.scale(fewShards))
}

// says wants the set to name the table that it can not go by, or to name none.
func (s set) says(refused bool) error {
	obj := &v1alpha1.ShardSet{}
	if err := framework.Admin.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: s.name}, obj); err != nil {
		return err
	}
	c := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionAccepted)
	named := c != nil && c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.ReasonSpecInvalid &&
		strings.Contains(c.Message, fmt.Sprintf("ConfigMap %q", s.name+ringSuffix))
	if named != refused {
		return fmt.Errorf("that the table can not be read is said %t, and is to be %t: %+v", named, refused, c)
	}
	return nil
}
