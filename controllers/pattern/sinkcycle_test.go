package pattern

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// sending is a queue of the namespace apps: "name>to,to", with * before the name where it was changed and not accepted
// since, ! where it was refused for a cycle. Those further back in a list are younger.
func sending(text string, age int) *v1alpha1.JobQueue {
	q := &v1alpha1.JobQueue{}
	name, to, _ := strings.Cut(text, ">")
	q.Namespace, q.Name, q.Generation = "apps", strings.TrimLeft(name, "*!"), 2
	q.CreationTimestamp = metav1.Time{Time: time.Unix(int64(age), 0)}
	accepted := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, ObservedGeneration: 2}
	switch name[0] {
	case '*':
		accepted.ObservedGeneration = 1
	case '!':
		accepted.Status, accepted.Reason = metav1.ConditionFalse, v1alpha1.ReasonSinkCycle
	}
	q.Status.Conditions = []metav1.Condition{accepted}
	for _, one := range strings.FieldsFunc(to, func(r rune) bool { return r == ',' }) {
		ref := &v1alpha1.SinkReference{Kind: "JobQueue", Name: one}
		if namespace, name, other := strings.Cut(one, "/"); other {
			ref.Namespace, ref.Name = namespace, name
		}
		q.Spec.Sinks = append(q.Spec.Sinks, v1alpha1.Sink{Name: strings.ReplaceAll(one, "/", "-"), Ref: ref})
	}
	q.Spec.Sinks = append(q.Spec.Sinks, v1alpha1.Sink{Name: "log", URL: "http://log"})
	return q
}

func TestFindCycle(t *testing.T) {
	for name, c := range map[string]struct {
		objects []string
		// want is who is refused, and the way.
		want map[string]string
	}{
		"none":                        {[]string{"a>b,c", "b>c", "c>d"}, nil},
		"itself":                      {[]string{"*a>a"}, map[string]string{"a": "a a"}},
		"itself in another namespace": {[]string{"*a>other/a"}, nil},
		"the one that was changed":    {[]string{"*a>b", "b>a"}, map[string]string{"a": "a b a"}},
		"the other that was changed":  {[]string{"a>b", "*b>a"}, map[string]string{"b": "b a b"}},
		"both at once":                {[]string{"*a>b", "*b>a"}, map[string]string{"b": "b a b"}},
		"both got through":            {[]string{"a>b", "b>a"}, map[string]string{"b": "b a b"}},
		"refused stays so, though the other is changed": {[]string{"!a>b", "*b>a"}, map[string]string{"a": "a b a"}},
		"both refused":          {[]string{"!a>b", "!b>a"}, map[string]string{"b": "b a b"}},
		"three":                 {[]string{"a>b", "*b>c", "c>a"}, map[string]string{"b": "b c a b"}},
		"the shortest way":      {[]string{"*a>b,c", "b>c", "c>a"}, map[string]string{"a": "a c a"}},
		"two circles":           {[]string{"a>b", "*b>a,c", "c>b"}, map[string]string{"b": "b a b"}},
		"one circle and a tail": {[]string{"a>b", "b>c", "*c>b"}, map[string]string{"c": "c b c"}},
		"what is not there":     {[]string{"*a>b"}, nil},
		"a circle that is broken by another's refusal": {[]string{"*a>b", "!b>c", "c>a"}, map[string]string{"b": "b c a b"}},
	} {
		all := map[node]*v1alpha1.JobQueue{}
		for i, text := range c.objects {
			q := sending(text, i)
			all[node{"JobQueue", "apps", q.Name}] = q
		}
		granted := func(node, *v1alpha1.SinkReference) (bool, error) { return true, nil }
		get := func(n node) (v1alpha1.Pattern, error) {
			if q, ok := all[n]; ok {
				return q, nil
			}
			return nil, nil
		}
		got := map[string]string{}
		for n, q := range all {
			cycle, err := findCycle(n, q, graph{get, granted})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, n := range cycle {
				names = append(names, n.name)
			}
			if cycle != nil {
				got[n.name] = strings.Join(names, " ")
			}
		}
		if c.want == nil {
			c.want = map[string]string{}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A circle is closed by what may be sent alone.
func TestNoCycleByWhatIsNotPermitted(t *testing.T) {
	a, b := sending("*a>closed/b", 0), sending("b>apps/a", 1)
	b.Namespace = "closed"
	get := func(n node) (v1alpha1.Pattern, error) {
		return map[node]v1alpha1.Pattern{{"JobQueue", "closed", "b"}: b, {"JobQueue", "apps", "a"}: a}[n], nil
	}
	for _, permits := range []bool{false, true} {
		granted := func(_ node, to *v1alpha1.SinkReference) (bool, error) {
			return permits || to.Namespace != "closed", nil
		}
		cycle, err := findCycle(node{"JobQueue", "apps", "a"}, a, graph{get, granted})
		if err != nil || (cycle != nil) != permits {
			t.Errorf("permitted %t: the way is %v, error %v", permits, cycle, err)
		}
	}
}

func TestLabel(t *testing.T) {
	n := node{"JobQueue", "apps", "a"}
	if got := n.label("apps") + " " + n.label("other"); got != "JobQueue/a apps/JobQueue/a" {
		t.Error(got)
	}
}
