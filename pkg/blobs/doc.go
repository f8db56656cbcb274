// Package blobs has the types of a BlobBucket's contract: uploads that go straight to the store, and the files that they
// become. It imports nothing of the tree.
package blobs
