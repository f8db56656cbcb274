package shardset

import (
	"fmt"

	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/specs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// domainsDir has a folder for each ShardSet that is reached through this one, with the file token.
const domainsDir = "/etc/trellis/domains"

// planeConfig of routers and members alike.
func planeConfig(s *v1alpha1.ShardSet, in pattern.Inputs, seen ringSeen) planeconfig.Config {
	config := planes.Config(routerOwner(s.Namespace, s.Name))
	config.Engine = planes.Engine(nil, "")
	config.Shards = shardsConfig(s, in)
	seen.tell(s, config.Shards)
	return config
}

func shardsConfig(s *v1alpha1.ShardSet, in pattern.Inputs) *planeconfig.Shards {
	b := base(s.Name)
	out := &planeconfig.Shards{
		RingConfigMap:   ringName(b),
		MoverLease:      moverName(b),
		ConfigMap:       b,
		Partitions:      int(s.Spec.Partitions),
		Members:         members(b, s.Spec.Shards, s.Spec.Weights),
		MembersService:  membersName(b),
		MemberTokenFile: planes.KeysDir + "/" + keyMemberToken,
		Key:             keyConfig(s.Spec.Key),
		Placement:       placementConfig(b, s.Spec),
		Router:          routerConfig(s.Spec.Router),
		Resharding:      reshardingConfig(s.Spec.Resharding),
		Container: planeconfig.ShardContainer{
			Port: int(s.Spec.Template.Port), H2C: s.Spec.Template.Protocol == v1alpha1.ShardH2C,
			ReadyPath: s.Spec.Template.ReadyPath, DrainTimeout: planes.Duration(s.Spec.Template.DrainTimeout),
		},
	}
	for _, d := range s.Spec.Domains {
		out.Domains = append(out.Domains, planeconfig.ShardDomain{
			PathPrefix: d.PathPrefix,
			URL:        "http://" + specs.Host(base(d.Name), s.Namespace, in.ClusterDomain),
			TokenFile:  fmt.Sprintf("%s/%s/token", domainsDir, d.Name),
		})
	}
	return out
}

// memberID is the name of a shard's pod.
func memberID(base string, ordinal int32) string { return fmt.Sprintf("%s-%d", base, ordinal) }

// members in the order of their ordinals.
func members(base string, shards int32, weights []v1alpha1.ShardWeight) []planeconfig.ShardMember {
	var out []planeconfig.ShardMember
	for i := range shards {
		m := planeconfig.ShardMember{ID: memberID(base, i)}
		for _, w := range weights {
			if ptr.Deref(w.Shard, -1) == i && w.Weight != 1 {
				m.Weight = int(w.Weight)
			}
		}
		out = append(out, m)
	}
	return out
}

func keyConfig(k v1alpha1.ShardKey) planeconfig.ShardKey {
	return planeconfig.ShardKey{
		Header: k.Header, Query: k.Query, Cookie: k.Cookie, Path: k.Path, JWTClaim: k.JWTClaim, JSONBody: k.JSONBody,
		MaxBytes: int(k.MaxBytes), MaxBodyBytes: planes.Bytes(k.MaxBody),
	}
}

func placementConfig(base string, s v1alpha1.ShardSetSpec) planeconfig.ShardPlacement {
	out := planeconfig.ShardPlacement{Strategy: string(s.Strategy)}
	if s.Range != nil {
		out.Splits = s.Range.Splits
	}
	if s.Directory != nil {
		out.DirectoryFallback = string(s.Directory.Fallback)
		out.Directory = map[string]int{}
		for key, partition := range s.Directory.Entries {
			out.Directory[key] = int(partition)
		}
	}
	for _, p := range s.Pins {
		if out.Pins == nil {
			out.Pins = map[int]string{}
		}
		out.Pins[int(ptr.Deref(p.Partition, 0))] = memberID(base, ptr.Deref(p.Shard, 0))
	}
	return out
}

func routerConfig(r v1alpha1.ShardRouter) planeconfig.ShardRouter {
	return planeconfig.ShardRouter{
		Authentication: string(r.Authentication),
		ConnectTimeout: planes.Duration(r.Timeouts.Connect),
		RequestTimeout: planes.Duration(r.Timeouts.Request),
		Retries:        int(ptr.Deref(r.Retries.Attempts, 0)),
		RetryBudget:    int(r.Retries.BudgetPercent),
		Overload:       overloadConfig(r.Overload),
	}
}

func overloadConfig(o v1alpha1.ShardOverload) planeconfig.ShardOverload {
	out := planeconfig.ShardOverload{
		MinConcurrency: int(o.MinConcurrency),
		MaxConcurrency: int(o.MaxConcurrency),
		Queue:          orNone(o.Queue),
		QueueTimeout:   planes.Duration(o.QueueTimeout),
		HotPartition:   int(o.HotPartitionPercent),
	}
	if p := o.Priority; p != nil {
		out.PriorityHeader, out.PriorityExpression, out.Classes, out.DefaultClass = p.Header, p.Expression, p.Classes, p.DefaultClass
		if out.DefaultClass == "" {
			out.DefaultClass = p.Classes[len(p.Classes)-1]
		}
	}
	return out
}

func reshardingConfig(r v1alpha1.ShardResharding) planeconfig.ShardResharding {
	out := planeconfig.ShardResharding{
		Mode:         string(r.Mode),
		MaxMoving:    int(r.MaxMoving),
		PauseLimit:   planes.Duration(r.PauseLimit),
		HeldRequests: orNone(r.HeldRequests),
		Paused:       ptr.Deref(r.Paused, false),
	}
	if r.Hook != nil {
		out.ExportPath, out.ImportPath = r.Hook.ExportPath, r.Hook.ImportPath
	}
	return out
}

// orNone is a number of which the plane's 0 is its default: below it is none.
func orNone(n *int32) int {
	if ptr.Deref(n, 0) == 0 {
		return -1
	}
	return int(*n)
}
