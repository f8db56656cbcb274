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

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
)

// RemoveVersion implements blobs.Versions.
func (s *Store) RemoveVersion(ctx context.Context, key, versionID string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: s.bucket(), Key: aws.String(key), VersionId: aws.String(versionID)})
	return kept(fail("remove a version", err))
}

// kept makes that a version is gone no error, and that it is locked ErrDenied: MinIO has no code of its own for that.
func kept(err error) error {
	var api smithy.APIError
	switch {
	case errors.Is(err, plane.ErrNoObject):
		return nil
	case errors.As(err, &api) && wormed(api.ErrorCode(), api.ErrorMessage()):
		return fmt.Errorf("%w: %w", plane.ErrDenied, err)
	}
	return err
}

// wormed recognizes what MinIO says of an object that is locked.
func wormed(code, message string) bool {
	return code == "InvalidRequest" && strings.Contains(message, "WORM")
}

// RemoveVersions implements blobs.Versions. Where a store does not have or does not take the call for many, it is one call for each.
func (s *Store) RemoveVersions(ctx context.Context, versions []plane.Version) (locked int, err error) {
	if len(versions) == 0 {
		return 0, nil
	}
	if !s.onlySingly.Load() {
		locked, err = s.removeTogether(ctx, versions)
		var response *awshttp.ResponseError
		if !errors.As(err, &response) {
			return locked, err
		}
		switch response.HTTPStatusCode() {
		case http.StatusNotImplemented, http.StatusMethodNotAllowed:
			s.onlySingly.Store(true)
		case http.StatusBadRequest:
			// There may be a key that its XML can not say.
		default:
			return locked, err
		}
	}
	locked = 0
	for _, v := range versions {
		err := s.RemoveVersion(ctx, v.Key, v.VersionID)
		switch {
		case errors.Is(err, plane.ErrDenied):
			locked++
		case err != nil:
			return locked, err
		}
	}
	return locked, nil
}

func (s *Store) removeTogether(ctx context.Context, versions []plane.Version) (locked int, err error) {
	in := &s3.DeleteObjectsInput{Bucket: s.bucket(), Delete: &types.Delete{Quiet: aws.Bool(true)}}
	for _, v := range versions {
		in.Delete.Objects = append(in.Delete.Objects, types.ObjectIdentifier{Key: aws.String(v.Key), VersionId: aws.String(v.VersionID)})
	}
	out, err := s.client.DeleteObjects(ctx, in)
	if err != nil {
		return 0, fail("remove versions", err)
	}
	for _, e := range out.Errors {
		code, message := aws.ToString(e.Code), aws.ToString(e.Message)
		switch kind := kindOf(code, 0); {
		case errors.Is(kind, plane.ErrNoObject):
		case errors.Is(kind, plane.ErrDenied) || wormed(code, message):
			locked++
		case err == nil:
			err = fmt.Errorf("remove versions: %q of %d: %w", aws.ToString(e.Key), len(versions), &smithy.GenericAPIError{Code: code, Message: message})
		}
	}
	return locked, err
}
