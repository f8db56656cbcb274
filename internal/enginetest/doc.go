// Package enginetest starts real engines as processes of this machine, for tests and benchmarks of what uses
// them. It is imported by those alone, and imports nothing of the tree but planeconfig.
//
// S3 is a store as an Engine of type S3 runs it. Its Secret is what planeconfig.ParseS3 reads, and a consumer's
// account with a bucket of its own is made by account.Ensure, as an init container does; account.S3Connection reads
// what that leaves. planeconfig.ProvisionedS3Features says what this store has and lacks. MinIO is a store as
// others run one, and Store one of the two: what a plane does with an S3 is tested against Store.
package enginetest
