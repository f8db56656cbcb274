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

// fixed leaves out what is taken up while routers run: who the members are, how keys are placed, how partitions move, and
// what is bounded.
func (s *Shards) fixed() *Shards {
	return &Shards{
		RingConfigMap: s.RingConfigMap, MoverLease: s.MoverLease, ConfigMap: s.ConfigMap, Partitions: s.Partitions,
		MembersService: s.MembersService, MemberTokenFile: s.MemberTokenFile, Container: s.Container,
	}
}

// FixedOfMembers is the part of Fixed that the members of a ShardSet read. What is said of its routers alone needs no new
// shard, and how partitions are carried over is taken up while they run.
func (c Config) FixedOfMembers() Config {
	c = c.Fixed()
	if s := c.Shards; s != nil {
		c.Shards = &Shards{
			RingConfigMap: s.RingConfigMap, Partitions: s.Partitions, MembersService: s.MembersService, MemberTokenFile: s.MemberTokenFile,
			Container: s.Container,
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
