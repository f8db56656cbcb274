// Package load fills a store and a ledger, compares them, and uploads files, over the contract of a BlobBucket and
// without it. It runs as a process of its own.
package load
