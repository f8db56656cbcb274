// Package blobs is the contract of a BlobBucket and what it is made of. Bytes go between clients and the store and never
// through the plane; what the plane keeps is a ledger of the files there are. The store is in package s3store and the
// ledger in package ledger below this one. It may import pkg/blobs, which has the types of the wire, internal/plane and
// internal/planeconfig.
package blobs
