package pattern

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// TestMarksSince says for each change whose it is.
func TestMarksSince(t *testing.T) {
	now := func(mutate func(*v1alpha1.RealtimeGateway, *v1alpha1.PatternClass)) marks {
		t.Helper()
		m, err := marksOf(found(func(s *scope) { mutate(s.obj.(*v1alpha1.RealtimeGateway), s.inputs.Class) }))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	type gateway = v1alpha1.RealtimeGateway
	type class = v1alpha1.PatternClass
	before := now(func(*gateway, *class) {})
	for name, tc := range map[string]struct {
		mutate func(*gateway, *class)
		want   cause
	}{
		"nothing":          {func(*gateway, *class) {}, causeOperator},
		"a label":          {func(g *gateway, _ *class) { g.Labels = map[string]string{"a": "b"} }, causeOperator},
		"a default":        {func(g *gateway, _ *class) { g.Spec.Limits.Connections = 7 }, causeOperator},
		"replicas":         {func(g *gateway, _ *class) { g.Generation, g.Spec.Replicas = 9, ptr.To[int32](7) }, causeOperator},
		"suspend":          {func(g *gateway, _ *class) { g.Generation, g.Spec.Suspend = 9, ptr.To(true) }, causeOperator},
		"the limits":       {func(g *gateway, _ *class) { g.Generation, g.Spec.Limits.Connections = 9, 7 }, causeUser},
		"the class's name": {func(g *gateway, c *class) { g.Generation, g.Spec.ClassName, c.Name = 9, "d", "d" }, causeUser},
		"an approval":      {func(g *gateway, _ *class) { setAnnotation(g, v1alpha1.AnnotationApproveUpdate, "now") }, causeUser},
		"a class's limits": {func(_ *gateway, c *class) {
			c.Generation, c.Spec.Limits = 9, &v1alpha1.ClassLimits{MaxReplicas: ptr.To[int32](3)}
		}, causeOperator},
		"a class's update policy": {func(_ *gateway, c *class) { c.Generation, c.Spec.UpdatePolicy = 9, v1alpha1.UpdateAutomatic }, causeOperator},
		"a class's plane":         {func(_ *gateway, c *class) { c.Generation, c.Spec.Plane.Version = 9, "v2" }, causeClass},
		"a class's pods": {func(_ *gateway, c *class) {
			c.Generation, c.Spec.PodDefaults = 9, &v1alpha1.PodTemplate{PriorityClassName: "high"}
		}, causeClass},
		"another class": {func(_ *gateway, c *class) { c.Name = "d" }, causeClass},
	} {
		t.Run(name, func(t *testing.T) {
			if got := now(tc.mutate).since(before); got != tc.want {
				t.Errorf("cause is %d, want %d", got, tc.want)
			}
		})
	}
}

// TestMarksAreRead shows that what is written is read, with an approval of any text.
func TestMarksAreRead(t *testing.T) {
	want := marks{generation: 3, class: "c", classGeneration: 4, approval: "a/b/c", spec: "s", ofClass: "o"}
	for _, follows := range []string{"", "f"} {
		want.follows = follows
		var bearer corev1.ConfigMap
		want.write(&bearer)
		if got := readMarks(&bearer); got != want {
			t.Errorf("read %+v, want %+v", got, want)
		}
	}
}

// TestWhatPodsTellIsNoOperatorsChange shows that a plan which follows something else now is not held back.
func TestWhatPodsTellIsNoOperatorsChange(t *testing.T) {
	with := func(follows string) marks {
		t.Helper()
		m, err := marksOf(found(func(s *scope) { s.plan.Follows = follows }))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, c := range []struct {
		before, now string
		want        cause
	}{{"", "", causeOperator}, {"a", "a", causeOperator}, {"", "a", causeUser}, {"a", "b", causeUser}, {"a", "", causeUser}} {
		if got := with(c.now).since(with(c.before)); got != c.want {
			t.Errorf("from %q to %q: cause is %d, want %d", c.before, c.now, got, c.want)
		}
	}
}

// TestShapeOfAQueue shows that the number of workers, which others set all the time, shapes no pod.
func TestShapeOfAQueue(t *testing.T) {
	of := func(mutate func(*v1alpha1.JobQueueSpec)) string {
		t.Helper()
		q := &v1alpha1.JobQueue{}
		q.Spec.Worker.Image = "worker"
		mutate(&q.Spec)
		out, err := shape(q, unshaping)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := of(func(*v1alpha1.JobQueueSpec) {})
	if got := of(func(s *v1alpha1.JobQueueSpec) { s.Worker.Replicas = ptr.To[int32](7) }); got != before {
		t.Error("another number of workers is another shape")
	}
	if got := of(func(s *v1alpha1.JobQueueSpec) { s.Paused = ptr.To(true) }); got == before {
		t.Error("a queue that is paused has the shape of one that is not: its plane would not be told")
	}
	if got := of(func(s *v1alpha1.JobQueueSpec) { s.Worker.Image = "a" }); got == before {
		t.Error("another image is the same shape")
	}
}
