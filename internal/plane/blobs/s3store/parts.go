package s3store

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
)

// BeginParts implements blobs.Objects.
func (s *Store) BeginParts(ctx context.Context, p plane.Put) (string, error) {
	mode, until := locked(p.Lock)
	out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: aws.String(s.config.Bucket), Key: aws.String(p.Key), ContentType: aws.String(p.ContentType),
		ObjectLockMode: mode, ObjectLockRetainUntilDate: until,
	})
	if err != nil {
		return "", fail("begin an upload in parts", err)
	}
	return aws.ToString(out.UploadId), nil
}

// Parts implements blobs.Objects.
func (s *Store) Parts(ctx context.Context, key, uploadID string) ([]plane.StoredPart, error) {
	var parts []plane.StoredPart
	pages := s3.NewListPartsPaginator(s.client, &s3.ListPartsInput{
		Bucket: aws.String(s.config.Bucket), Key: aws.String(key), UploadId: aws.String(uploadID),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fail("list parts", err)
		}
		for _, p := range page.Parts {
			parts = append(parts, plane.StoredPart{Number: int(aws.ToInt32(p.PartNumber)), Size: aws.ToInt64(p.Size), ETag: unquote(p.ETag)})
		}
	}
	return parts, nil
}

// FinishParts implements blobs.Objects.
func (s *Store) FinishParts(ctx context.Context, key, uploadID string, parts []plane.StoredPart) error {
	in := &s3.CompleteMultipartUploadInput{
		Bucket: aws.String(s.config.Bucket), Key: aws.String(key), UploadId: aws.String(uploadID), MultipartUpload: &types.CompletedMultipartUpload{},
	}
	for _, p := range parts {
		in.MultipartUpload.Parts = append(in.MultipartUpload.Parts, types.CompletedPart{
			PartNumber: aws.Int32(int32(p.Number)), ETag: aws.String(`"` + p.ETag + `"`),
		})
	}
	if s.config.Conditional {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := s.client.CompleteMultipartUpload(ctx, in)
	return fail("finish an upload in parts", err)
}

// AbortParts implements blobs.Objects.
func (s *Store) AbortParts(ctx context.Context, key, uploadID string) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: aws.String(s.config.Bucket), Key: aws.String(key), UploadId: aws.String(uploadID),
	})
	if err = fail("abort an upload in parts", err); errors.Is(err, plane.ErrNoObject) {
		return nil
	}
	return err
}

// ListParts implements blobs.Objects. MinIO takes a prefix for a whole key: so where there seems to be nothing, all of
// the bucket's are asked for as well. It gives those on one page; a store that gives several knows prefixes.
func (s *Store) ListParts(ctx context.Context, prefix string, after plane.Unfinished) (uploads []plane.Unfinished, more bool, err error) {
	in := &s3.ListMultipartUploadsInput{Bucket: aws.String(s.config.Bucket), MaxUploads: aws.Int32(1000)}
	if prefix != "" {
		in.Prefix = aws.String(prefix)
	}
	if after.Key != "" {
		in.KeyMarker, in.UploadIdMarker = aws.String(after.Key), aws.String(after.UploadID)
	}
	out, err := s.client.ListMultipartUploads(ctx, in)
	if err != nil {
		return nil, false, fail("list uploads in parts", err)
	}
	if prefix != "" && after.Key == "" && len(out.Uploads) == 0 && !aws.ToBool(out.IsTruncated) {
		uploads, err = s.allParts(ctx, prefix)
		return uploads, false, err
	}
	return unfinished(out.Uploads, prefix), aws.ToBool(out.IsTruncated), nil
}

// allParts picks from what is not finished in the whole bucket; none where that is more than one page.
func (s *Store) allParts(ctx context.Context, prefix string) ([]plane.Unfinished, error) {
	out, err := s.client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: aws.String(s.config.Bucket)})
	switch err = fail("list uploads in parts", err); {
	case errors.Is(err, plane.ErrDenied):
		// Credentials may be bound to the prefix, by a store that knows it.
		return nil, nil
	case err != nil:
		return nil, err
	case aws.ToBool(out.IsTruncated):
		return nil, nil
	default:
		return unfinished(out.Uploads, prefix), nil
	}
}

func unfinished(all []types.MultipartUpload, prefix string) (uploads []plane.Unfinished) {
	for _, u := range all {
		if !strings.HasPrefix(aws.ToString(u.Key), prefix) {
			continue
		}
		uploads = append(uploads, plane.Unfinished{Key: aws.ToString(u.Key), UploadID: aws.ToString(u.UploadId), Begun: aws.ToTime(u.Initiated)})
	}
	return uploads
}
