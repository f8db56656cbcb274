// Package s3store is a bucket of an S3 store: the Objects of internal/plane/blobs by the AWS SDK. Requests that others are
// to send are signed here (Signature Version 4, https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html)
// without asking the store.
//
// It may import internal/plane/blobs and pkg/blobs.
package s3store
