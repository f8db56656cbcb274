package s3store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/encoding/httpbinding"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// fail says what was being done, and which of the errors of blobs.Objects it is.
func fail(doing string, err error) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	code := ""
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	var response *awshttp.ResponseError
	status := 0
	if errors.As(err, &response) {
		status = response.HTTPStatusCode()
	}
	kind := kindOf(code, status)
	if kind == nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, kind, err)
}

func kindOf(code string, status int) error {
	switch code {
	case "NoSuchBucket":
		return plane.ErrNoBucket // It is no object that is missing.
	case "NoSuchKey", "NoSuchUpload", "NotFound", "NoSuchVersion":
		return plane.ErrNoObject
	case "InvalidPart", "InvalidPartOrder", "EntityTooSmall", "BadDigest", "XAmzContentChecksumMismatch", "InvalidRange":
		return plane.ErrMismatch
	case "PreconditionFailed":
		return plane.ErrExists
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden":
		return plane.ErrDenied
	}
	switch status {
	case http.StatusNotFound:
		return plane.ErrNoObject
	case http.StatusForbidden, http.StatusUnauthorized:
		return plane.ErrDenied
	case http.StatusPreconditionFailed:
		return plane.ErrExists
	}
	return nil
}

// Head implements blobs.Objects.
func (s *Store) Head(ctx context.Context, key string) (plane.Object, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: aws.String(s.config.Bucket), Key: aws.String(key), ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return plane.Object{}, fail("look at an object", err)
	}
	o := plane.Object{
		Key: key, Size: aws.ToInt64(out.ContentLength), ContentType: aws.ToString(out.ContentType), ETag: unquote(out.ETag),
		VersionID: aws.ToString(out.VersionId), Modified: aws.ToTime(out.LastModified),
		Held: out.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn, RetainedUntil: aws.ToTime(out.ObjectLockRetainUntilDate),
		RetentionMode: string(out.ObjectLockMode),
	}
	// One of all parts' checksums is none of the bytes.
	if out.ChecksumType != types.ChecksumTypeComposite {
		switch {
		case out.ChecksumSHA256 != nil:
			o.Checksum = &blobs.Checksum{Algorithm: blobs.SHA256, Value: *out.ChecksumSHA256}
		case out.ChecksumCRC32C != nil:
			o.Checksum = &blobs.Checksum{Algorithm: blobs.CRC32C, Value: *out.ChecksumCRC32C}
		}
	}
	return o, nil
}

func unquote(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

// Remove implements blobs.Objects.
func (s *Store) Remove(ctx context.Context, key string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(s.config.Bucket), Key: aws.String(key)})
	if err = fail("remove an object", err); errors.Is(err, plane.ErrNoObject) {
		return nil
	}
	return err
}

// errOrder: what is not in order can not be compared with a ledger that is.
var errOrder = errors.New("the store lists objects in another order than that of their keys' bytes")

// List implements blobs.Objects.
func (s *Store) List(ctx context.Context, prefix, after string) (objects []plane.Object, more bool, err error) {
	in := &s3.ListObjectsV2Input{Bucket: aws.String(s.config.Bucket), MaxKeys: aws.Int32(1000)}
	if prefix != "" {
		in.Prefix = aws.String(prefix)
	}
	if after != "" {
		in.StartAfter = aws.String(after)
	}
	out, err := s.client.ListObjectsV2(ctx, in)
	if err != nil {
		return nil, false, fail("list objects", err)
	}
	last := after
	for _, c := range out.Contents {
		key := aws.ToString(c.Key)
		if key <= last && last != "" {
			return nil, false, fmt.Errorf("list objects: %w: %q comes after %q", errOrder, key, last)
		}
		last = key
		objects = append(objects, plane.Object{Key: key, Size: aws.ToInt64(c.Size), ETag: unquote(c.ETag), Modified: aws.ToTime(c.LastModified)})
	}
	return objects, aws.ToBool(out.IsTruncated), nil
}

// Copy implements blobs.Objects.
func (s *Store) Copy(ctx context.Context, from, to string, lock *plane.Lock) (plane.Object, error) {
	o, err := s.Head(ctx, from)
	if err != nil {
		return plane.Object{}, err
	}
	source := httpbinding.EscapePath(s.config.Bucket+"/"+from, false)
	if o.Size > s.config.MaxCopy {
		err = s.copyParts(ctx, o, source, to, lock)
	} else {
		mode, until := locked(lock)
		_, err = s.client.CopyObject(ctx, &s3.CopyObjectInput{
			Bucket: aws.String(s.config.Bucket), Key: aws.String(to), CopySource: aws.String(source),
			ObjectLockMode: mode, ObjectLockRetainUntilDate: until,
		})
		err = fail("copy an object", err)
	}
	if err != nil {
		return plane.Object{}, err
	}
	return s.Head(ctx, to)
}

// copyParts copies what is too large for one call. An error leaves nothing behind that is not aborted, or listed by ListParts.
func (s *Store) copyParts(ctx context.Context, o plane.Object, source, to string, lock *plane.Lock) error {
	id, err := s.BeginParts(ctx, plane.Put{Key: to, Size: o.Size, ContentType: o.ContentType, Lock: lock})
	if err != nil {
		return err
	}
	size := min(s.config.MaxCopy, partOfCopy)
	var parts []plane.StoredPart
	for at := int64(0); at < o.Size; at += size {
		number := len(parts) + 1
		out, err := s.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
			Bucket: aws.String(s.config.Bucket), Key: aws.String(to), UploadId: aws.String(id), PartNumber: aws.Int32(int32(number)),
			CopySource: aws.String(source), CopySourceIfMatch: aws.String(o.ETag),
			CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", at, min(at+size, o.Size)-1)),
		})
		if err != nil {
			return errors.Join(fail("copy a part of an object", err), s.AbortParts(ctx, to, id))
		}
		parts = append(parts, plane.StoredPart{Number: number, ETag: unquote(out.CopyPartResult.ETag)})
	}
	err = s.FinishParts(ctx, to, id, parts)
	if errors.Is(err, plane.ErrNoObject) {
		// Its answer may have been lost, and it was asked again: the caller looks whether the copy is there.
		return nil
	}
	return err
}
