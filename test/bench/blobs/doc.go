// Package blobs measures the plane of BlobBucket: what it signs against the bare signer, its comparison of store and
// ledger against a bare list of the store, and an upload with its event against an upload whose client tells of it.
package blobs
