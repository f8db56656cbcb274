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
	if s := c.Shards; s != nil {
		c.Shards = &Shards{
			RingConfigMap: s.RingConfigMap, MoverLease: s.MoverLease, Partitions: s.Partitions, MembersService: s.MembersService, MemberTokenFile: s.MemberTokenFile,
			// Who the members are, how partitions move and what routers bound is taken up while they run.
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
