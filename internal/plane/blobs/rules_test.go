package blobs

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const days = planeconfig.Duration(day)

func TestShares(t *testing.T) {
	glacier := []planeconfig.BlobTransition{{After: 30 * days, StorageClass: "GLACIER"}}
	soon := []planeconfig.BlobTransition{{After: days / 2, StorageClass: "GLACIER"}}
	for name, c := range map[string]struct {
		rule        planeconfig.BlobRule
		can         ability
		native, own *planeconfig.BlobRule
		stuck       bool
	}{
		"by the store": {
			rule:   planeconfig.BlobRule{Name: "a", Prefix: "x/", Expire: days, AbortIncomplete: 2 * days, ExpireNoncurrent: 3 * days, KeepNoncurrent: 2, Transitions: glacier},
			native: &planeconfig.BlobRule{Name: "a", Prefix: "x/", Expire: days, AbortIncomplete: 2 * days, ExpireNoncurrent: 3 * days, KeepNoncurrent: 2, Transitions: glacier},
		},
		"a store without": {
			rule: planeconfig.BlobRule{Name: "a", Expire: days, AbortIncomplete: days, ExpireNoncurrent: days, KeepNoncurrent: 2}, can: noLifecycle,
			own: &planeconfig.BlobRule{Name: "a", Expire: days, AbortIncomplete: days, ExpireNoncurrent: days, KeepNoncurrent: 2},
		},
		"a store that aborts nothing": {
			rule: planeconfig.BlobRule{Name: "a", Expire: days, AbortIncomplete: days}, can: noAborts,
			native: &planeconfig.BlobRule{Name: "a", Expire: days}, own: &planeconfig.BlobRule{Name: "a", AbortIncomplete: days},
		},
		"no whole days": {
			rule:   planeconfig.BlobRule{Name: "a", Expire: days + days/2, ExpireNoncurrent: days},
			native: &planeconfig.BlobRule{Name: "a", ExpireNoncurrent: days}, own: &planeconfig.BlobRule{Name: "a", Expire: days + days/2},
		},
		"aborts by tags": {
			rule:   planeconfig.BlobRule{Name: "a", Tags: map[string]string{"k": "v"}, Expire: days, AbortIncomplete: days},
			native: &planeconfig.BlobRule{Name: "a", Tags: map[string]string{"k": "v"}, Expire: days},
			own:    &planeconfig.BlobRule{Name: "a", Tags: map[string]string{"k": "v"}, AbortIncomplete: days},
		},
		"more than a store keeps": {
			rule: planeconfig.BlobRule{Name: "a", ExpireNoncurrent: days, KeepNoncurrent: 101},
			own:  &planeconfig.BlobRule{Name: "a", ExpireNoncurrent: days, KeepNoncurrent: 101},
		},
		"classes without a lifecycle": {rule: planeconfig.BlobRule{Name: "a", Transitions: glacier}, can: noLifecycle, stuck: true},
		"classes too soon": {
			rule:   planeconfig.BlobRule{Name: "a", Expire: days, Transitions: soon},
			native: &planeconfig.BlobRule{Name: "a", Expire: days}, stuck: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			native, own, stuck := shares([]planeconfig.BlobRule{c.rule}, c.can)
			if diff := cmp.Diff(list(c.native), native); diff != "" {
				t.Errorf("native (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(list(c.own), own); diff != "" {
				t.Errorf("own (-want +got)\n%s", diff)
			}
			if len(stuck) > 0 != c.stuck {
				t.Errorf("stuck: %v", stuck)
			}
		})
	}
}

func list(r *planeconfig.BlobRule) []planeconfig.BlobRule {
	if r == nil {
		return nil
	}
	return []planeconfig.BlobRule{*r}
}

func TestPrefixes(t *testing.T) {
	for _, c := range []struct{ rules, want []string }{
		{nil, nil},
		{[]string{"a/", "b/"}, []string{"a/", "b/"}},
		{[]string{"a/b/", "a/", "a/c/", "a/"}, []string{"a/"}},
		{[]string{"a/", ""}, []string{""}},
	} {
		var rules []planeconfig.BlobRule
		for _, p := range c.rules {
			rules = append(rules, planeconfig.BlobRule{Prefix: p})
		}
		if diff := cmp.Diff(c.want, prefixes(rules)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", c.rules, diff)
		}
	}
}

func TestSweepEvery(t *testing.T) {
	minute := planeconfig.Duration(time.Minute)
	for _, c := range []struct {
		rule planeconfig.BlobRule
		want time.Duration
	}{
		{planeconfig.BlobRule{Expire: 365 * days}, day},
		{planeconfig.BlobRule{Expire: 365 * days, AbortIncomplete: days}, day / 10},
		{planeconfig.BlobRule{ExpireNoncurrent: minute}, 5 * time.Minute},
	} {
		if got := sweepEvery([]planeconfig.BlobRule{c.rule}, 5*time.Minute); got != c.want {
			t.Errorf("%+v: every %s, want %s", c.rule, got, c.want)
		}
	}
}

func TestEnded(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	rule := planeconfig.BlobRule{Prefix: "a/", MinBytes: 10, MaxBytes: 20, Expire: planeconfig.Duration(time.Hour)}
	for _, c := range []struct {
		key  string
		size int64
		age  time.Duration
		want bool
	}{
		{"a/x", 10, time.Hour, true},
		{"a/x", 20, 2 * time.Hour, true},
		{"a/x", 9, time.Hour, false},
		{"a/x", 21, time.Hour, false},
		{"b/x", 10, time.Hour, false},
		{"a/x", 10, time.Hour - 1, false},
	} {
		if got := ended([]planeconfig.BlobRule{rule}, c.key, c.size, now.Add(-c.age), now); got != nil != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
