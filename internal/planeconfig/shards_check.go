package planeconfig

import (
	"fmt"
	"strings"
	"time"
)

// setDefaults of what has one.
func (s *Shards) setDefaults() {
	def(&s.Key.MaxBytes, 1024)
	def(&s.Key.MaxBodyBytes, 1<<20)
	def(&s.Router.ConnectTimeout, Duration(time.Second))
	def(&s.Router.RequestTimeout, Duration(30*time.Second))
	def(&s.Router.RetryBudget, 20)
	def(&s.Router.Overload.MinConcurrency, 4)
	def(&s.Router.Overload.MaxConcurrency, 1000)
	def(&s.Router.Overload.Queue, 100)
	def(&s.Router.Overload.QueueTimeout, Duration(time.Second))
	def(&s.Router.Overload.HotPartition, 20)
	def(&s.Resharding.MaxMoving, 1)
	def(&s.Resharding.PauseLimit, Duration(10*time.Second))
	def(&s.Resharding.HeldRequests, 1000)
	def(&s.Container.DrainTimeout, Duration(30*time.Second))
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate reports every setting that a router or a member could not start with.
func (s *Shards) validate() []error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("shards."+format, args...))
		}
	}
	need(s.RingConfigMap != "", "ringConfigMap must be set")
	need(s.ConfigMap != "", "configMap must be set")
	need(s.MoverLease != "", "moverLease must be set")
	need(s.MembersService != "", "membersService must be set")
	need(s.MemberTokenFile != "", "memberTokenFile must be set")
	need(s.Partitions > 0 && s.Partitions&(s.Partitions-1) == 0 && s.Partitions <= 1<<14, "partitions must be a power of two of at most 16384")
	need(s.Container.Port > 0 && s.Container.Port < 1<<16, "container.port must be that which the container serves at")
	seen := map[string]bool{}
	for _, m := range s.Members {
		need(m.ID != "" && !seen[m.ID], "members must have an id each, and %q is there twice or empty", m.ID)
		seen[m.ID] = true
	}
	switch s.Resharding.Mode {
	case "Hook":
		need(strings.Contains(s.Resharding.ExportPath, "{partition}"), "resharding.exportPath must have {partition} in it")
		need(strings.Contains(s.Resharding.ImportPath, "{partition}"), "resharding.importPath must have {partition} in it")
	case "None":
	default:
		need(false, "resharding.mode is %q: use Hook or None", s.Resharding.Mode)
	}
	need(s.Resharding.MaxMoving > 0, "resharding.maxMoving must be above 0")
	need(s.Resharding.PauseLimit > 0, "resharding.pauseLimit must be above 0")
	return errs
}
