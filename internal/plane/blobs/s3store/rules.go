package s3store

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// ownPrefix of the IDs of rules that are Trellis's; all others are somebody else's.
const ownPrefix = "trellis-"

// merged has the rules that are ours be wanted: those that are there in their places, the new ones last. changed is false
// where they are so already. Rules of others stay as they are and in their order.
func merged[R any](there, wanted []R, id func(R) string, same func(a, b R) bool) (out []R, changed bool) {
	left := slices.Clone(wanted)
	for _, r := range there {
		if !strings.HasPrefix(id(r), ownPrefix) {
			out = append(out, r)
			continue
		}
		at := slices.IndexFunc(left, func(w R) bool { return id(w) == id(r) })
		if at < 0 {
			changed = true
			continue
		}
		if !same(r, left[at]) {
			r, changed = left[at], true
		}
		out = append(out, r)
		left = slices.Delete(left, at, at+1)
	}
	return append(out, left...), changed || len(left) > 0
}

// KeepCORS implements blobs.BucketSettings.
func (s *Store) KeepCORS(ctx context.Context, rules []planeconfig.BlobCORS) (bool, error) {
	got, err := s.client.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: s.bucket()})
	if _, err := setting("read the bucket's CORS rules", err); err != nil {
		return false, err
	}
	var there, wanted []types.CORSRule
	if err == nil {
		there = got.CORSRules
	}
	for _, r := range rules {
		wanted = append(wanted, corsRule(r))
	}
	all, changed := merged(there, wanted, func(r types.CORSRule) string { return aws.ToString(r.ID) }, sameCORS)
	switch {
	case !changed:
		return false, nil
	case len(all) == 0:
		_, err = s.client.DeleteBucketCors(ctx, &s3.DeleteBucketCorsInput{Bucket: s.bucket()})
	default:
		_, err = s.client.PutBucketCors(ctx, &s3.PutBucketCorsInput{Bucket: s.bucket(), CORSConfiguration: &types.CORSConfiguration{CORSRules: all}})
	}
	_, err = setting("set the bucket's CORS rules", err)
	return err == nil, err
}

func corsRule(r planeconfig.BlobCORS) types.CORSRule {
	out := types.CORSRule{ID: aws.String(ownPrefix + r.Name), AllowedOrigins: r.Origins, AllowedMethods: r.Methods, AllowedHeaders: r.Headers, ExposeHeaders: r.Expose}
	if r.MaxAge > 0 {
		out.MaxAgeSeconds = aws.Int32(int32(time.Duration(r.MaxAge) / time.Second))
	}
	return out
}

func sameCORS(a, b types.CORSRule) bool {
	return slices.Equal(a.AllowedOrigins, b.AllowedOrigins) && slices.Equal(a.AllowedMethods, b.AllowedMethods) && slices.Equal(a.AllowedHeaders, b.AllowedHeaders) &&
		slices.Equal(a.ExposeHeaders, b.ExposeHeaders) && aws.ToInt32(a.MaxAgeSeconds) == aws.ToInt32(b.MaxAgeSeconds)
}

// KeepLifecycle implements blobs.BucketSettings.
func (s *Store) KeepLifecycle(ctx context.Context, rules []planeconfig.BlobRule) (bool, error) {
	got, err := s.client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: s.bucket()})
	if _, err := setting("read the bucket's lifecycle", err); err != nil {
		return false, err
	}
	in := &s3.PutBucketLifecycleConfigurationInput{Bucket: s.bucket()}
	var there, wanted []types.LifecycleRule
	if err == nil {
		there, in.TransitionDefaultMinimumObjectSize = got.Rules, got.TransitionDefaultMinimumObjectSize
	}
	for _, r := range rules {
		wanted = append(wanted, lifecycleRule(r))
	}
	all, changed := merged(there, wanted, func(r types.LifecycleRule) string { return aws.ToString(r.ID) }, sameLifecycle)
	switch {
	case !changed:
		return false, nil
	case len(all) == 0:
		_, err = s.client.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{Bucket: s.bucket()})
	default:
		in.LifecycleConfiguration = &types.BucketLifecycleConfiguration{Rules: all}
		_, err = s.client.PutBucketLifecycleConfiguration(ctx, in)
	}
	if _, err = setting("set the bucket's lifecycle", err); err != nil {
		return false, err
	}
	return true, s.keptAborts(ctx, wanted)
}

// keptAborts fails for a store that takes a rule and leaves out of it, without a word, that uploads are aborted.
func (s *Store) keptAborts(ctx context.Context, wanted []types.LifecycleRule) error {
	if !slices.ContainsFunc(wanted, func(r types.LifecycleRule) bool { return r.AbortIncompleteMultipartUpload != nil }) {
		return nil
	}
	got, err := s.client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: s.bucket()})
	if _, err := setting("read the bucket's lifecycle again", err); err != nil || got == nil {
		return err
	}
	for _, w := range wanted {
		if w.AbortIncompleteMultipartUpload == nil {
			continue
		}
		without := w
		without.AbortIncompleteMultipartUpload = nil
		if slices.ContainsFunc(got.Rules, func(r types.LifecycleRule) bool { return aws.ToString(r.ID) == *w.ID && sameLifecycle(r, without) }) {
			return fmt.Errorf("set the bucket's lifecycle: %w: it took the rule %q and left out that it aborts uploads", plane.ErrUnsupported, *w.ID)
		}
	}
	return nil
}

func days(d planeconfig.Duration) *int32 {
	return aws.Int32(int32(time.Duration(d) / (24 * time.Hour)))
}

// lifecycleRule says a rule as S3 does. Where versions go and objects do not, so does the mark that the last version leaves.
func lifecycleRule(r planeconfig.BlobRule) types.LifecycleRule {
	out := types.LifecycleRule{ID: aws.String(ownPrefix + r.Name), Status: types.ExpirationStatusEnabled, Filter: filterOf(r)}
	if r.Expire > 0 {
		out.Expiration = &types.LifecycleExpiration{Days: days(r.Expire)}
	}
	if r.AbortIncomplete > 0 {
		out.AbortIncompleteMultipartUpload = &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: days(r.AbortIncomplete)}
	}
	if r.ExpireNoncurrent > 0 {
		out.NoncurrentVersionExpiration = &types.NoncurrentVersionExpiration{NoncurrentDays: days(r.ExpireNoncurrent)}
		if r.KeepNoncurrent > 0 {
			out.NoncurrentVersionExpiration.NewerNoncurrentVersions = aws.Int32(int32(r.KeepNoncurrent))
		}
		if out.Expiration == nil && len(r.Tags) == 0 && r.MinBytes == 0 && r.MaxBytes == 0 {
			out.Expiration = &types.LifecycleExpiration{ExpiredObjectDeleteMarker: aws.Bool(true)}
		}
	}
	for _, t := range r.Transitions {
		out.Transitions = append(out.Transitions, types.Transition{Days: days(t.After), StorageClass: types.TransitionStorageClass(t.StorageClass)})
	}
	return out
}

// filterOf what a rule is for: one condition as it is, several in And. S3's bounds of sizes are exclusive.
func filterOf(r planeconfig.BlobRule) *types.LifecycleRuleFilter {
	and := &types.LifecycleRuleAndOperator{}
	f := &types.LifecycleRuleFilter{}
	several := 0
	if r.Prefix != "" {
		f.Prefix, and.Prefix = aws.String(r.Prefix), aws.String(r.Prefix)
		several++
	}
	if r.MinBytes > 0 {
		f.ObjectSizeGreaterThan, and.ObjectSizeGreaterThan = aws.Int64(r.MinBytes-1), aws.Int64(r.MinBytes-1)
		several++
	}
	if r.MaxBytes > 0 {
		f.ObjectSizeLessThan, and.ObjectSizeLessThan = aws.Int64(r.MaxBytes+1), aws.Int64(r.MaxBytes+1)
		several++
	}
	for key, value := range r.Tags {
		f.Tag = &types.Tag{Key: aws.String(key), Value: aws.String(value)}
		and.Tags = append(and.Tags, *f.Tag)
		several++
	}
	slices.SortFunc(and.Tags, func(a, b types.Tag) int { return strings.Compare(*a.Key, *b.Key) })
	switch several {
	case 0:
		return &types.LifecycleRuleFilter{Prefix: aws.String("")}
	case 1:
		return f
	}
	return &types.LifecycleRuleFilter{And: and}
}

// sameLifecycle compares what rules of ours say, however a store writes it: nothing and zero are one.
func sameLifecycle(a, b types.LifecycleRule) bool {
	return reflect.DeepEqual(plainRule(a), plainRule(b))
}

// plainRule without pointers, its conditions in one place.
func plainRule(r types.LifecycleRule) (out struct {
	Status                           types.ExpirationStatus
	Prefix                           string
	Min, Max                         int64
	Tags                             map[string]string
	Expire, Abort, Noncurrent, Newer int32
	Marker, Foreign                  bool
	Transitions                      map[types.TransitionStorageClass]int32
}) {
	out.Status, out.Prefix = r.Status, aws.ToString(r.Prefix) //nolint:staticcheck // Some stores answer in the older form.
	out.Tags, out.Transitions = map[string]string{}, map[types.TransitionStorageClass]int32{}
	if f := r.Filter; f != nil {
		all := types.LifecycleRuleAndOperator{Prefix: f.Prefix, ObjectSizeGreaterThan: f.ObjectSizeGreaterThan, ObjectSizeLessThan: f.ObjectSizeLessThan}
		if f.Tag != nil {
			all.Tags = []types.Tag{*f.Tag}
		}
		if f.And != nil {
			all = *f.And
		}
		out.Prefix, out.Min, out.Max = out.Prefix+aws.ToString(all.Prefix), aws.ToInt64(all.ObjectSizeGreaterThan), aws.ToInt64(all.ObjectSizeLessThan)
		for _, t := range all.Tags {
			out.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
	}
	if e := r.Expiration; e != nil {
		out.Expire, out.Marker, out.Foreign = aws.ToInt32(e.Days), aws.ToBool(e.ExpiredObjectDeleteMarker), e.Date != nil
	}
	if a := r.AbortIncompleteMultipartUpload; a != nil {
		out.Abort = aws.ToInt32(a.DaysAfterInitiation)
	}
	if n := r.NoncurrentVersionExpiration; n != nil {
		out.Noncurrent, out.Newer = aws.ToInt32(n.NoncurrentDays), aws.ToInt32(n.NewerNoncurrentVersions)
	}
	for _, t := range r.Transitions {
		out.Transitions[t.StorageClass] = aws.ToInt32(t.Days)
		out.Foreign = out.Foreign || t.Date != nil
	}
	out.Foreign = out.Foreign || len(r.NoncurrentVersionTransitions) > 0
	return out
}
