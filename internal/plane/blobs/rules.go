package blobs

import (
	"strings"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	day = 24 * time.Hour
	// maxKeptNatively is the most versions that S3 takes for NewerNoncurrentVersions.
	maxKeptNatively = 100
)

// ability is what of a lifecycle a store does.
type ability int

// From the most to the least.
const (
	allOfLifecycle ability = iota
	// noAborts is of stores that refuse to abort uploads in parts by a rule.
	noAborts
	noLifecycle
)

// split a rule into what the store does of it and what is left. S3 counts in whole days, and an upload in parts has neither
// tags nor a size: it aborts none by a rule that asks for either.
func split(r planeconfig.BlobRule, can ability) (native, own planeconfig.BlobRule) {
	native, own = r, r
	choose := func(byStore bool, drop func(*planeconfig.BlobRule)) {
		if byStore {
			drop(&own)
		} else {
			drop(&native)
		}
	}
	choose(can < noLifecycle && whole(r.Expire), func(r *planeconfig.BlobRule) { r.Expire = 0 })
	choose(can < noAborts && whole(r.AbortIncomplete) && len(r.Tags) == 0 && r.MinBytes == 0 && r.MaxBytes == 0,
		func(r *planeconfig.BlobRule) { r.AbortIncomplete = 0 })
	choose(can < noLifecycle && whole(r.ExpireNoncurrent) && r.KeepNoncurrent <= maxKeptNatively,
		func(r *planeconfig.BlobRule) { r.ExpireNoncurrent, r.KeepNoncurrent = 0, 0 })
	byStore := can < noLifecycle
	for _, t := range r.Transitions {
		byStore = byStore && (whole(t.After) || t.After == 0)
	}
	choose(byStore, func(r *planeconfig.BlobRule) { r.Transitions = nil })
	return native, own
}

func whole(d planeconfig.Duration) bool { return d > 0 && time.Duration(d)%day == 0 }

// acts reports whether anything is left of a rule.
func acts(r planeconfig.BlobRule) bool {
	return r.Expire > 0 || r.AbortIncomplete > 0 || r.ExpireNoncurrent > 0 || len(r.Transitions) > 0
}

// shares of rules: what the store does, what the plane does, and the names of those that have transitions which nobody does.
// A copy into another class would be a new object, with a new age and on top of the old one's version.
func shares(rules []planeconfig.BlobRule, can ability) (native, own []planeconfig.BlobRule, stuck []string) {
	for _, r := range rules {
		n, o := split(r, can)
		if acts(n) {
			native = append(native, n)
		}
		if len(o.Transitions) > 0 {
			stuck = append(stuck, r.Name)
			o.Transitions = nil
		}
		if acts(o) {
			own = append(own, o)
		}
	}
	return native, own, stuck
}

// covers reports whether a rule is for an object, its tags aside.
func covers(r planeconfig.BlobRule, key string, size int64) bool {
	return strings.HasPrefix(key, r.Prefix) && size >= r.MinBytes && (r.MaxBytes == 0 || size <= r.MaxBytes)
}

// ended is the rule by which an object that was written at the time had its end by now, its tags aside; nil for none.
func ended(rules []planeconfig.BlobRule, key string, size int64, written, now time.Time) *planeconfig.BlobRule {
	for i, r := range rules {
		if r.Expire > 0 && covers(r, key, size) && !now.Before(written.Add(time.Duration(r.Expire))) {
			return &rules[i]
		}
	}
	return nil
}

// reasonOf why a file ended by a rule.
func reasonOf(r planeconfig.BlobRule) string { return "lifecycle rule " + r.Name }

// prefixes under which rules have something to do, none of them inside another.
func prefixes(rules []planeconfig.BlobRule) []string {
	var out []string
	for _, r := range rules {
		inside := false
		kept := out[:0:0]
		for _, p := range out {
			inside = inside || strings.HasPrefix(r.Prefix, p)
			if !strings.HasPrefix(p, r.Prefix) || p == r.Prefix {
				kept = append(kept, p)
			}
		}
		if out = kept; !inside {
			out = append(out, r.Prefix)
		}
	}
	return out
}

// sweepEvery is how often the plane does its rules: often enough that nothing is late by more than a tenth of its age, no more
// often than the bucket is looked at, and once a day.
func sweepEvery(rules []planeconfig.BlobRule, every time.Duration) time.Duration {
	out := day
	for _, r := range rules {
		for _, d := range []planeconfig.Duration{r.Expire, r.AbortIncomplete, r.ExpireNoncurrent} {
			if d > 0 {
				out = min(out, time.Duration(d)/10)
			}
		}
	}
	return max(out, every)
}
