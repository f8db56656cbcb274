// Package blobbucket plans and observes BlobBuckets: a plane that signs requests, in front of a store that speaks S3 and a
// ledger in PostgreSQL. All of it is pure. It may import api, controllers/pattern, planes, scaling and specs,
// internal/planeconfig and pkg/blobs.
package blobbucket
