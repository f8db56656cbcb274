package pattern

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// annotationRotatedAt on a Secret whose values need time to reach everybody is when they were made anew.
const annotationRotatedAt = "patterns.trellis.dev/rotated-at"

// rotation is what the annotation rotate-credentials comes to.
type rotation struct {
	// value to carry out, empty for none.
	value string
	// verdict on what was asked for, nil where nothing was.
	verdict *Verdict
}

// rotationOf is what the user last asked for, empty for nothing.
func rotationOf(obj v1alpha1.Pattern) string {
	return obj.GetAnnotations()[v1alpha1.AnnotationRotateCredentials]
}

// decideRotation says whether the credentials are made anew now. alive are the plan's children as they live.
func decideRotation(k kind, s *scope, alive []client.Object) {
	asked := rotationOf(s.obj)
	if asked == "" {
		return
	}
	done := &Verdict{OK: true, Reason: v1alpha1.ReasonCredentialsRotated, Message: fmt.Sprintf(
		"%.64q of the annotation %s is carried out: what was in use before %s",
		asked, v1alpha1.AnnotationRotateCredentials, becomes(s.plan.Children))}
	open, generated := unrotated(s.plan.Children, alive, asked)
	if generated && len(open) == 0 {
		s.rotation = rotation{asked, done}
		return
	}
	if v := k.rotatable(s.obj, s.inputs, alive); !v.OK {
		s.rotation.verdict = &v
		return
	}
	for _, o := range open {
		if left := o.settling(s.now); left > 0 {
			s.rotation.verdict = &Verdict{Reason: v1alpha1.ReasonRotationWaiting, Message: fmt.Sprintf(
				"the last rotation is reaching everybody, which takes up to %s: this one follows", o.settle)}
			s.again = max(left, time.Second)
			return
		}
	}
	s.rotation = rotation{asked, done}
}

// becomes says what a rotation does to the values before.
func becomes(children []Child) string {
	for _, c := range children {
		for _, g := range c.Generate {
			if g.Ends {
				return "is refused from when the new ones are taken up"
			}
		}
	}
	return "is accepted until the next rotation"
}

// openRotation is a living Secret whose values are to be made anew.
type openRotation struct {
	secret client.Object
	settle time.Duration
}

// unrotated are the living Secrets for which a rotation was not carried out yet. generated is false
// where there is no value at all that can be made anew.
func unrotated(children []Child, alive []client.Object, asked string) (open []openRotation, generated bool) {
	for i, child := range children {
		settle, rotates := time.Duration(0), false
		for _, g := range child.Generate {
			settle, rotates = max(settle, g.Settle), rotates || g.Previous != ""
		}
		if !rotates {
			continue
		}
		generated = true
		if alive[i] != nil && alive[i].GetAnnotations()[annotationRotated] != asked {
			open = append(open, openRotation{alive[i], settle})
		}
	}
	return open, generated
}

// settling is for how long the values of the last rotation are still on their way.
func (o openRotation) settling(now metav1.Time) time.Duration {
	last, err := time.Parse(time.RFC3339, o.secret.GetAnnotations()[annotationRotatedAt])
	if err != nil || o.settle == 0 {
		return 0
	}
	// A time that lies ahead was written by another clock, and is as good as now.
	return min(last.Add(o.settle).Sub(now.Time), o.settle)
}

// markRotatedAt notes when a Secret's values were made anew, where they need time.
func markRotatedAt(obj, live client.Object, generators map[string]Generator, now metav1.Time) {
	settles := false
	for _, g := range generators {
		settles = settles || g.Settle > 0
	}
	if !settles || live == nil {
		return
	}
	switch at := live.GetAnnotations()[annotationRotatedAt]; {
	case obj.GetAnnotations()[annotationRotated] != live.GetAnnotations()[annotationRotated]:
		setAnnotation(obj, annotationRotatedAt, now.UTC().Format(time.RFC3339))
	case at != "":
		setAnnotation(obj, annotationRotatedAt, at)
	}
}

// tellRotated tells that a Secret's values were made anew.
func (r *Reconciler) tellRotated(s *scope, desired, live client.Object) {
	if live == nil || desired.GetAnnotations()[annotationRotated] == live.GetAnnotations()[annotationRotated] {
		return
	}
	r.event(s.obj, corev1.EventTypeNormal, eventRotated, "rotated the credentials: what was in use before "+becomes(s.plan.Children))
}

// tellNotRotated tells once why what was asked for can not be done.
func (r *Reconciler) tellNotRotated(s *scope) {
	old := condition(s.before.GetPatternStatus().Conditions, v1alpha1.ConditionCredentialsRotated)
	now := condition(s.obj.GetPatternStatus().Conditions, v1alpha1.ConditionCredentialsRotated)
	if now == nil || now.Status == metav1.ConditionTrue || (old != nil && old.Reason == now.Reason) {
		return
	}
	r.event(s.obj, corev1.EventTypeWarning, eventNotRotated, now.Message)
}

// summariseRotation says what became of the annotation.
func summariseRotation(s *scope, status *v1alpha1.PatternStatus) {
	v := s.rotation.verdict
	switch {
	case s.applied == nil:
		// The reconcile ended before it was looked at.
	case v == nil:
		removeCondition(status, v1alpha1.ConditionCredentialsRotated)
	case !v.OK:
		s.set(v1alpha1.ConditionCredentialsRotated, metav1.ConditionFalse, v.Reason, v.Message)
	case s.applied.OK:
		s.set(v1alpha1.ConditionCredentialsRotated, metav1.ConditionTrue, v.Reason, v.Message)
	}
}
