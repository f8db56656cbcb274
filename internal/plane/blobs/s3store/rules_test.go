package s3store

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

var ignored = cmpopts.IgnoreUnexported(types.LifecycleRule{}, types.LifecycleRuleFilter{}, types.LifecycleRuleAndOperator{}, types.LifecycleExpiration{},
	types.NoncurrentVersionExpiration{}, types.AbortIncompleteMultipartUpload{}, types.Transition{}, types.Tag{})

const day = planeconfig.Duration(24 * time.Hour)

func TestLifecycleRule(t *testing.T) {
	for name, c := range map[string]struct {
		rule planeconfig.BlobRule
		want types.LifecycleRule
	}{
		"all": {
			planeconfig.BlobRule{
				Name: "a", Prefix: "x/", Tags: map[string]string{"b": "2", "a": "1"}, MinBytes: 10, MaxBytes: 20, Expire: 3 * day, ExpireNoncurrent: 2 * day, KeepNoncurrent: 4,
				Transitions: []planeconfig.BlobTransition{{After: day, StorageClass: "GLACIER"}},
			},
			types.LifecycleRule{
				Filter: &types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{
					Prefix: aws.String("x/"), ObjectSizeGreaterThan: aws.Int64(9), ObjectSizeLessThan: aws.Int64(21),
					Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}, {Key: aws.String("b"), Value: aws.String("2")}},
				}},
				Expiration:                  &types.LifecycleExpiration{Days: aws.Int32(3)},
				NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(2), NewerNoncurrentVersions: aws.Int32(4)},
				Transitions:                 []types.Transition{{Days: aws.Int32(1), StorageClass: "GLACIER"}},
			},
		},
		"everything there is": {
			planeconfig.BlobRule{Name: "a", AbortIncomplete: day, ExpireNoncurrent: day},
			types.LifecycleRule{
				Filter: &types.LifecycleRuleFilter{Prefix: aws.String("")}, AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(1)},
				NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(1)},
				Expiration:                  &types.LifecycleExpiration{ExpiredObjectDeleteMarker: aws.Bool(true)},
			},
		},
		"one condition": {
			planeconfig.BlobRule{Name: "a", Tags: map[string]string{"a": "1"}, Expire: day},
			types.LifecycleRule{
				Filter: &types.LifecycleRuleFilter{Tag: &types.Tag{Key: aws.String("a"), Value: aws.String("1")}}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.ID, c.want.Status = aws.String("trellis-a"), types.ExpirationStatusEnabled
			got := lifecycleRule(c.rule)
			if diff := cmp.Diff(c.want, got, ignored); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if !sameLifecycle(got, lifecycleRule(c.rule)) {
				t.Error("it differs from itself")
			}
			for field, change := range map[string]func(*types.LifecycleRule){
				"status": func(r *types.LifecycleRule) { r.Status = types.ExpirationStatusDisabled },
				"prefix": func(r *types.LifecycleRule) { r.Filter = &types.LifecycleRuleFilter{Prefix: aws.String("other/")} },
				"days":   func(r *types.LifecycleRule) { r.Expiration = &types.LifecycleExpiration{Days: aws.Int32(99)} },
				"date":   func(r *types.LifecycleRule) { r.Expiration = &types.LifecycleExpiration{Date: aws.Time(time.Now())} },
				"class": func(r *types.LifecycleRule) {
					r.Transitions = []types.Transition{{Days: aws.Int32(1), StorageClass: "OTHER"}}
				},
			} {
				other := lifecycleRule(c.rule)
				change(&other)
				if sameLifecycle(got, other) {
					t.Errorf("another %s is the same", field)
				}
			}
		})
	}
}

// TestSameLifecycle: a store may write what it was given in another way.
func TestSameLifecycle(t *testing.T) {
	a := lifecycleRule(planeconfig.BlobRule{Name: "a", Prefix: "x/", Expire: day})
	b := types.LifecycleRule{ID: a.ID, Status: a.Status, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1), ExpiredObjectDeleteMarker: aws.Bool(false)}}
	b.Prefix = aws.String("x/") //nolint:staticcheck // Some stores answer in the older form.
	c := types.LifecycleRule{ID: a.ID, Status: a.Status, Filter: &types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{Prefix: aws.String("x/")}}, Expiration: a.Expiration}
	if !sameLifecycle(a, b) || !sameLifecycle(a, c) {
		t.Error("the same rule is another")
	}
}

// TestMerged keeps rules of others as they are.
func TestMerged(t *testing.T) {
	type rule struct{ ID, Says string }
	for name, c := range map[string]struct {
		there, wanted, want []rule
		changed             bool
	}{
		"nothing":          {},
		"at rest":          {[]rule{{"x", "1"}, {"trellis-a", "1"}}, []rule{{"trellis-a", "1"}}, []rule{{"x", "1"}, {"trellis-a", "1"}}, false},
		"new":              {[]rule{{"x", "1"}}, []rule{{"trellis-a", "1"}}, []rule{{"x", "1"}, {"trellis-a", "1"}}, true},
		"changed in place": {[]rule{{"trellis-a", "2"}, {"x", "1"}}, []rule{{"trellis-a", "1"}}, []rule{{"trellis-a", "1"}, {"x", "1"}}, true},
		"no longer named":  {[]rule{{"trellis-a", "1"}, {"", "1"}, {"trellis-b", "1"}}, []rule{{"trellis-b", "1"}}, []rule{{"", "1"}, {"trellis-b", "1"}}, true},
		"twice":            {[]rule{{"trellis-a", "1"}, {"trellis-a", "1"}}, []rule{{"trellis-a", "1"}}, []rule{{"trellis-a", "1"}}, true},
		"all gone":         {[]rule{{"trellis-a", "1"}}, nil, nil, true},
		"in another order": {[]rule{{"trellis-b", "1"}, {"trellis-a", "1"}}, []rule{{"trellis-a", "1"}, {"trellis-b", "1"}}, []rule{{"trellis-b", "1"}, {"trellis-a", "1"}}, false},
	} {
		got, changed := merged(c.there, c.wanted, func(r rule) string { return r.ID }, func(a, b rule) bool { return a == b })
		if diff := cmp.Diff(c.want, got); diff != "" || changed != c.changed {
			t.Errorf("%s: changed %v (-want +got)\n%s", name, changed, diff)
		}
	}
}

func TestClosedPolicy(t *testing.T) {
	const mine = `{"Effect":"Allow","Principal":{"AWS":["alice"]},"Action":"s3:*","Resource":"*"}`
	for name, c := range map[string]struct {
		policy, want string
		opened       bool
	}{
		"none":         {"", "", false},
		"private":      {`{"Version":"1","Statement":[` + mine + `]}`, `{"Version":"1","Statement":[` + mine + `]}`, false},
		"everybody":    {`{"Version":"1","Statement":[` + mine + `,{"Effect":"Allow","Principal":"*","Action":"s3:GetObject"}]}`, `{"Statement":[` + mine + `],"Version":"1"}`, true},
		"in a list":    {`{"Statement":[{"Effect":"Allow","Principal":{"AWS":["alice","*"]}}]}`, "", true},
		"alone":        {`{"Statement":{"Effect":"Allow","Principal":{"AWS":"*"}}}`, "", true},
		"all but some": {`{"Statement":[{"Effect":"Allow","NotPrincipal":{"AWS":"alice"}}]}`, "", true},
		"denied":       {`{"Statement":[{"Effect":"Deny","Principal":"*"}]}`, `{"Statement":[{"Effect":"Deny","Principal":"*"}]}`, false},
		"a condition": {
			`{"Statement":[{"Effect":"Allow","Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`,
			`{"Statement":[{"Effect":"Allow","Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`, false,
		},
	} {
		got, opened, err := closedPolicy(c.policy)
		if err != nil || got != c.want || opened != c.opened {
			t.Errorf("%s: %s, %v, %v", name, got, opened, err)
		}
	}
	if _, _, err := closedPolicy("{"); err == nil {
		t.Error("what is no policy was read")
	}
}
