// Package controllers registers every kind. It is the one place that a new kind
// is added to.
package controllers

import (
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/trellis-dev/trellis/controllers/blobbucket"
	"github.com/trellis-dev/trellis/controllers/engine"
	"github.com/trellis-dev/trellis/controllers/jobqueue"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/realtimegateway"
	"github.com/trellis-dev/trellis/controllers/shardset"
)

// Kinds is the registration list.
func Kinds() *pattern.Registration {
	r := &pattern.Registration{}
	pattern.Register(r, engine.Definition())
	pattern.Register(r, realtimegateway.Definition())
	pattern.Register(r, jobqueue.Definition())
	pattern.Register(r, blobbucket.Definition())
	pattern.Register(r, shardset.Definition())
	return r
}

// Setup adds the controllers of all kinds to the manager.
func Setup(mgr manager.Manager, o pattern.Options) error {
	return Kinds().Setup(mgr, o)
}
