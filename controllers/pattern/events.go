package pattern

import (
	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// Reasons of events.
const (
	eventRetained = "Retained"
	eventAdopted  = "Adopted"
	eventPruned   = "Pruned"
	eventResized  = "Resized"
	eventReady    = "Ready"
	eventNotReady = "NotReady"

	eventRotated    = "CredentialsRotated"
	eventNotRotated = "CredentialsNotRotated"

	eventDrained       = "Drained"
	eventDrainTimedOut = "DrainTimedOut"

	eventScaledUp   = "ScaledUp"
	eventScaledDown = "ScaledDown"
)

// event tells the owner of an object what happened.
func (r *Reconciler) event(obj v1alpha1.Pattern, kind, reason, note string) {
	r.events.Eventf(obj, nil, kind, reason, "Reconcile", "%s", note)
}
