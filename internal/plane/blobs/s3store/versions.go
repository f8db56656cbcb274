package s3store

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
)

var _ plane.Versions = (*Store)(nil)

// ListVersions implements blobs.Versions.
func (s *Store) ListVersions(ctx context.Context, prefix string, after plane.Version) (page []plane.Version, next *plane.Version, err error) {
	in := &s3.ListObjectVersionsInput{Bucket: s.bucket(), MaxKeys: aws.Int32(1000)}
	if prefix != "" {
		in.Prefix = aws.String(prefix)
	}
	if after.Key != "" {
		in.KeyMarker, in.VersionIdMarker = aws.String(after.Key), aws.String(after.VersionID)
	}
	out, err := s.client.ListObjectVersions(ctx, in)
	if err != nil {
		return nil, nil, fail("list versions", err)
	}
	for _, v := range out.Versions {
		page = append(page, plane.Version{
			Key: aws.ToString(v.Key), VersionID: aws.ToString(v.VersionId), Size: aws.ToInt64(v.Size), Modified: aws.ToTime(v.LastModified), Latest: aws.ToBool(v.IsLatest),
		})
	}
	for _, m := range out.DeleteMarkers {
		page = append(page, plane.Version{
			Key: aws.ToString(m.Key), VersionID: aws.ToString(m.VersionId), Modified: aws.ToTime(m.LastModified), Latest: aws.ToBool(m.IsLatest), Marker: true,
		})
	}
	// The answer has them in two lists.
	slices.SortStableFunc(page, func(a, b plane.Version) int {
		latest := 0
		if a.Latest != b.Latest {
			if latest = 1; a.Latest {
				latest = -1
			}
		}
		return cmp.Or(strings.Compare(a.Key, b.Key), latest, b.Modified.Compare(a.Modified))
	})
	if aws.ToBool(out.IsTruncated) {
		next = &plane.Version{Key: aws.ToString(out.NextKeyMarker), VersionID: aws.ToString(out.NextVersionIdMarker)}
	}
	return page, next, nil
}

// Tags implements blobs.Versions.
func (s *Store) Tags(ctx context.Context, key, versionID string) (map[string]string, error) {
	in := &s3.GetObjectTaggingInput{Bucket: s.bucket(), Key: aws.String(key)}
	if versionID != "" {
		in.VersionId = aws.String(versionID)
	}
	out, err := s.client.GetObjectTagging(ctx, in)
	unset, _ := setting("", err)
	if err != nil && !unset {
		return nil, fail("read an object's tags", err)
	}
	if unset {
		return nil, nil
	}
	tags := map[string]string{}
	for _, t := range out.TagSet {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return tags, nil
}

var _ plane.Bucketless = (*Store)(nil)

// RemoveBucket implements blobs.Bucketless.
func (s *Store) RemoveBucket(ctx context.Context) error {
	_, err := s.client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: s.bucket()})
	return fail("remove the bucket", err)
}
