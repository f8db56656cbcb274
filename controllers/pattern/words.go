package pattern

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// firstWords is how long the first words about an object may wait. Until then its status says, by the default in
// the CRD, that the operator has not looked at it yet, which readers take for the same as "in progress".
const firstWords = time.Second

// waitForWords leaves out to say of a new object that it starts, where it does so as it should and may be ready
// in a moment. Where others read the status, an Engine and who uses one, nothing waits.
func (r *Reconciler) waitForWords(s *scope) {
	key := client.ObjectKeyFromObject(s.obj)
	_, isEngine := s.obj.(*v1alpha1.Engine)
	blocker := s.blocker()
	if !isNew(s.before) || isEngine || len(s.needs.engines()) > 0 || blocker == nil || blocker.Stalled || s.suspended() != nil {
		r.started.Delete(key)
		return
	}
	began, _ := r.started.LoadOrStore(key, r.clock.Now())
	left := firstWords - r.clock.Since(began.(time.Time))
	if left <= 0 {
		r.started.Delete(key)
		return
	}
	s.wordless = true
	if s.again == 0 || left < s.again {
		s.again = left
	}
}
