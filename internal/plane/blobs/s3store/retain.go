package s3store

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
)

// Headers, and fields of a form, that lock what is written. AWS takes them with a checksum only.
const (
	lockMode  = "X-Amz-Object-Lock-Mode"
	lockUntil = "X-Amz-Object-Lock-Retain-Until-Date"
)

// lockHeaders lock what is written.
func lockHeaders(l *plane.Lock) map[string]string {
	if l == nil {
		return nil
	}
	return map[string]string{lockMode: l.Mode, lockUntil: l.Until.UTC().Format(time.RFC3339)}
}

// locked is the same for a call of the SDK.
func locked(l *plane.Lock) (types.ObjectLockMode, *time.Time) {
	if l == nil {
		return "", nil
	}
	return types.ObjectLockMode(l.Mode), aws.Time(l.Until.UTC())
}

// Retain implements blobs.Objects.
func (s *Store) Retain(ctx context.Context, key, versionID string, l plane.Lock) error {
	in := &s3.PutObjectRetentionInput{
		Bucket: s.bucket(), Key: aws.String(key),
		Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionMode(l.Mode), RetainUntilDate: aws.Time(l.Until.UTC())},
	}
	if versionID != "" {
		in.VersionId = aws.String(versionID)
	}
	_, err := s.client.PutObjectRetention(ctx, in)
	_, err = setting("lock an object", err)
	return err
}
