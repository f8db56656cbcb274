package planeconfig

import "bytes"

// Fixed is the part of c that a plane reads at its start only: a change of it
// needs new pods. All else it takes up while it runs.
func (c Config) Fixed() Config {
	c.HTTP.AllowedOrigins = nil
	c.Auth.JWT, c.Auth.Anonymous = nil, nil
	if c.Realtime != nil {
		r := *c.Realtime
		r.Limits = Limits{MessageBytes: r.Limits.MessageBytes, QueueBytes: r.Limits.QueueBytes}
		c.Realtime = &r
	}
	if c.Jobs != nil {
		// All of a queue's settings are taken up while it runs.
		c.Jobs = &Jobs{}
	}
	if c.Blobs != nil {
		c.Blobs = &Blobs{StoreDir: c.Blobs.StoreDir, Bucket: c.Blobs.Bucket, PublicEndpoint: c.Blobs.PublicEndpoint, Conditional: c.Blobs.Conditional}
	}
	if c.Shards != nil {
		c.Shards = c.Shards.fixed()
	}
	return c
}

// fixed leaves out what the router that moves partitions follows while it runs.
func (s *Shards) fixed() *Shards {
	out := *s
	out.Members, out.History, out.Placement.Pins = nil, nil, nil
	out.Resharding.MaxMoving, out.Resharding.Paused = 0, false
	return &out
}

// FixedOfMembers is the part of Fixed that the members of a ShardSet read. What is said of its routers alone needs no new shard.
func (c Config) FixedOfMembers() Config {
	c = c.Fixed()
	if s := c.Shards; s != nil {
		c.Shards = &Shards{
			RingConfigMap: s.RingConfigMap, Partitions: s.Partitions, MembersService: s.MembersService, MemberTokenFile: s.MemberTokenFile,
			Container:  s.Container,
			Resharding: ShardResharding{Mode: s.Resharding.Mode, ExportPath: s.Resharding.ExportPath, ImportPath: s.Resharding.ImportPath},
		}
	}
	return c
}

// SameFixed reports whether a plane that runs with b needs no restart for a.
func SameFixed(a, b Config) bool {
	one, errOne := Encode(a.Fixed())
	two, errTwo := Encode(b.Fixed())
	return errOne == nil && errTwo == nil && bytes.Equal(one, two)
}
