// Package ledger keeps what is known of a bucket's files in PostgreSQL: the Ledger of internal/plane/blobs in tables of
// one schema. Every change is one transaction under READ COMMITTED that locks the file's row first.
//
// It may import internal/plane/blobs, internal/plane/postgres, internal/planeconfig and pkg/blobs.
package ledger
