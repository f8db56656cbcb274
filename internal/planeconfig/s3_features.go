package planeconfig

import "maps"

// S3Feature is something that stores which speak S3 differ in, as far as patterns use it.
type S3Feature string

// The features.
const (
	// S3Lifecycle is the bucket's lifecycle configuration: expiry and transitions by the store itself.
	S3Lifecycle S3Feature = "lifecycle"
	// S3Notifications are the bucket's own notification configuration.
	S3Notifications S3Feature = "notifications"
	// S3CORS is the bucket's own CORS configuration, enforced.
	S3CORS S3Feature = "cors"
	// S3Versioning of a bucket.
	S3Versioning S3Feature = "versioning"
	// S3ObjectLock is retention and legal hold, of a bucket that was made with it.
	S3ObjectLock S3Feature = "objectLock"
	// S3Checksums are those of x-amz-checksum-*, which the store compares with what it was sent.
	S3Checksums S3Feature = "checksums"
	// S3PostPolicy is an upload by an HTML form, of which the store holds the size within bounds.
	S3PostPolicy S3Feature = "postPolicy"
	// S3ConditionalPut is If-None-Match and If-Match of a PUT.
	S3ConditionalPut S3Feature = "conditionalPut"
	// S3Tagging of objects.
	S3Tagging S3Feature = "tagging"
	// S3Encryption is the bucket's own encryption configuration.
	S3Encryption S3Feature = "encryption"
	// S3PublicAccessBlock is the bucket's own public access block.
	S3PublicAccessBlock S3Feature = "publicAccessBlock"
	// S3BucketPolicy is the bucket's own policy, enforced.
	S3BucketPolicy S3Feature = "bucketPolicy"
	// S3WholeParts is that the store keeps no part of which it was not sent all. Where it does, its list of parts does not
	// tell those apart, and what a client was answered counts.
	S3WholeParts S3Feature = "wholeParts"
)

// S3Support says whether a store has a feature.
type S3Support string

// What may be known of a feature.
const (
	// S3Unknown is of a store that others run, until somebody asked one of its buckets.
	S3Unknown S3Support = "Unknown"
	// S3Native is done by the store.
	S3Native S3Support = "Native"
	// S3Absent is done by Trellis or refused, and never left out in silence.
	S3Absent S3Support = "Absent"
)

// S3Features is what is known of a store.
type S3Features map[S3Feature]S3Support

// Of is what is known of one of them.
func (f S3Features) Of(feature S3Feature) S3Support {
	if s, ok := f[feature]; ok {
		return s
	}
	return S3Unknown
}

// provisionedS3 is what versitygw 1.8 has, held against a running one by TestS3Features of internal/plane/account.
var provisionedS3 = S3Features{
	S3Lifecycle:         S3Absent,
	S3Notifications:     S3Absent,
	S3CORS:              S3Native,
	S3Versioning:        S3Native,
	S3ObjectLock:        S3Native,
	S3Checksums:         S3Native,
	S3PostPolicy:        S3Native,
	S3ConditionalPut:    S3Native,
	S3Tagging:           S3Native,
	S3Encryption:        S3Absent,
	S3PublicAccessBlock: S3Absent,
	S3BucketPolicy:      S3Native,
	S3WholeParts:        S3Absent,
}

// ProvisionedS3Features of the store that Trellis runs. Of one that others run, nothing is known: its plane asks
// the bucket when there is one.
func ProvisionedS3Features() S3Features { return maps.Clone(provisionedS3) }
