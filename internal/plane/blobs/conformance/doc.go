// Package conformance is the one suite that every store and every ledger behind the contract of a BlobBucket have to pass. It
// speaks to running planes over HTTP, and to the store by the requests that they sign, so the same suite serves planes in
// this process, in other processes and in a cluster. What only an administrator of the store sees, it looks up in the bucket.
//
// What clients saw is written down and compared with the end: every file that was acknowledged can be downloaded with its
// bytes, what was deleted is gone, and the store has nothing that no file has.
package conformance
