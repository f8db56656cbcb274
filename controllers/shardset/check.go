package shardset

import (
	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/eventcel"
)

// mostConfig in bytes leaves room in a ConfigMap's 1 MiB for its other fields.
const mostConfig = 1000 << 10

// check refuses what the schema could not.
func check(s *v1alpha1.ShardSet) error {
	p := s.Spec.Router.Overload.Priority
	if p == nil || p.Expression == "" {
		return nil
	}
	if _, err := eventcel.CompileClass(p.Expression); err != nil {
		return pattern.Invalid("spec.router.overload.priority.expression: %w", err)
	}
	return nil
}

// checkSize refuses what no ConfigMap holds: a directory with long keys is as large.
func checkSize(config string) error {
	if len(config) > mostConfig {
		return pattern.Invalid("spec.range.splits and spec.directory.entries: with them the configuration of the routers has %d bytes, and %d are the most: have fewer of them, or shorter keys",
			len(config), mostConfig)
	}
	return nil
}
