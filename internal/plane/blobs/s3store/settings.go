package s3store

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

var _ plane.BucketSettings = (*Store)(nil)

// none are the codes by which stores say that a setting was never made.
var none = map[string]bool{
	"NoSuchCORSConfiguration": true, "ServerSideEncryptionConfigurationNotFoundError": true, "ObjectLockConfigurationNotFoundError": true,
	"NoSuchPublicAccessBlockConfiguration": true, "NoSuchBucketPolicy": true, "NoSuchLifecycleConfiguration": true, "NoSuchTagSet": true,
}

// refused are the codes by which stores say that they can not do what a setting asks for. A bucket's state is that of one
// without object lock.
var refused = map[string]bool{
	"NotImplemented": true, "MethodNotAllowed": true, "MalformedXML": true, "InvalidRequest": true, "InvalidArgument": true, "InvalidBucketState": true,
	"InvalidStorageClass": true, "KMSNotConfigured": true, "XNotImplemented": true,
}

// setting makes an error of a call for a setting one of blobs.BucketSettings. unset is true where there is none.
func setting(doing string, err error) (unset bool, out error) {
	if err == nil {
		return false, nil
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
	switch {
	case none[code]:
		return true, nil
	case refused[code] || status == http.StatusNotImplemented || status == http.StatusMethodNotAllowed:
		return false, errors.Join(plane.ErrUnsupported, fail(doing, err))
	}
	return false, fail(doing, err)
}

func (s *Store) bucket() *string { return aws.String(s.config.Bucket) }

// KeepVersioning implements blobs.BucketSettings.
func (s *Store) KeepVersioning(ctx context.Context, status string) (bool, error) {
	out, err := s.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: s.bucket()})
	if _, err := setting("read whether the bucket keeps versions", err); err != nil {
		return false, err
	}
	if out != nil && string(out.Status) == status {
		return false, nil
	}
	if status == string(types.BucketVersioningStatusSuspended) && (out == nil || out.Status == "") {
		return false, nil // It never kept any.
	}
	_, err = s.client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: s.bucket(), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatus(status)},
	})
	_, err = setting("set whether the bucket keeps versions", err)
	return err == nil, err
}

// KeepEncryption implements blobs.BucketSettings.
func (s *Store) KeepEncryption(ctx context.Context, e planeconfig.BlobEncryption) (bool, error) {
	out, err := s.client.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: s.bucket()})
	if _, err := setting("read the bucket's encryption", err); err != nil {
		return false, err
	}
	rule := types.ServerSideEncryptionRule{}
	if err == nil && out.ServerSideEncryptionConfiguration != nil && len(out.ServerSideEncryptionConfiguration.Rules) > 0 {
		// Its other fields are not ours.
		rule = out.ServerSideEncryptionConfiguration.Rules[0]
	}
	if by := rule.ApplyServerSideEncryptionByDefault; by != nil && string(by.SSEAlgorithm) == e.Algorithm && (e.KeyID == "" || aws.ToString(by.KMSMasterKeyID) == e.KeyID) {
		return false, nil
	}
	rule.ApplyServerSideEncryptionByDefault = &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryption(e.Algorithm)}
	if e.KeyID != "" {
		rule.ApplyServerSideEncryptionByDefault.KMSMasterKeyID = aws.String(e.KeyID)
	}
	_, err = s.client.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{
		Bucket: s.bucket(), ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{rule}},
	})
	_, err = setting("set the bucket's encryption", err)
	return err == nil, err
}

// KeepRetention implements blobs.BucketSettings.
func (s *Store) KeepRetention(ctx context.Context, r planeconfig.BlobRetention) (bool, error) {
	out, err := s.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: s.bucket()})
	if _, err := setting("read the bucket's default retention", err); err != nil {
		return false, err
	}
	if err == nil && out.ObjectLockConfiguration != nil && out.ObjectLockConfiguration.Rule != nil {
		d := out.ObjectLockConfiguration.Rule.DefaultRetention
		if d != nil && string(d.Mode) == r.Mode && int(aws.ToInt32(d.Days)) == r.Days && aws.ToInt32(d.Years) == 0 {
			return false, nil
		}
	}
	_, err = s.client.PutObjectLockConfiguration(ctx, &s3.PutObjectLockConfigurationInput{
		Bucket: s.bucket(), ObjectLockConfiguration: &types.ObjectLockConfiguration{
			ObjectLockEnabled: types.ObjectLockEnabledEnabled,
			Rule:              &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{Mode: types.ObjectLockRetentionMode(r.Mode), Days: aws.Int32(int32(r.Days))}},
		},
	})
	_, err = setting("set the bucket's default retention", err)
	return err == nil, err
}

// KeepPrivate implements blobs.BucketSettings.
func (s *Store) KeepPrivate(ctx context.Context) (bool, error) {
	out, err := s.client.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: s.bucket()})
	if _, err := setting("read the bucket's public access block", err); err != nil {
		return false, err
	}
	if err == nil && out.PublicAccessBlockConfiguration != nil {
		c := out.PublicAccessBlockConfiguration
		if aws.ToBool(c.BlockPublicAcls) && aws.ToBool(c.BlockPublicPolicy) && aws.ToBool(c.IgnorePublicAcls) && aws.ToBool(c.RestrictPublicBuckets) {
			return false, nil
		}
	}
	yes := aws.Bool(true)
	_, err = s.client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
		Bucket: s.bucket(), PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
			BlockPublicAcls: yes, BlockPublicPolicy: yes, IgnorePublicAcls: yes, RestrictPublicBuckets: yes,
		},
	})
	_, err = setting("set the bucket's public access block", err)
	return err == nil, err
}
