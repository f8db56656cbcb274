package blobs

import (
	"context"
	"errors"
	"time"

	"github.com/trellis-dev/trellis/pkg/blobs"
)

// What Objects answers when it can not do what is asked. Anything else is a fault of the store, which may be over a
// moment later.
var (
	// ErrNoObject: there is no such object, or no such upload in parts.
	ErrNoObject = errors.New("no such object in the store")
	// ErrMismatch: the parts or the object are not what was said of them.
	ErrMismatch = errors.New("the store has something else")
	// ErrExists: there is an object of that key already.
	ErrExists = errors.New("the store has an object of that key")
	// ErrDenied: the credentials do not allow it, or are wrong.
	ErrDenied = errors.New("the store does not allow it")
)

// Objects is a bucket of an S3 store. Signing asks the store nothing; all else is one or more calls, bounded by ctx.
type Objects interface {
	// SignPut signs a PUT of exactly this object: the store refuses another size, another media type, bytes of another
	// checksum and another lock, and an object that is there already where it knows conditional writes.
	SignPut(ctx context.Context, now time.Time, p Put, ttl time.Duration) (blobs.Request, error)
	// SignForm signs a form of a browser for the same.
	SignForm(ctx context.Context, now time.Time, p Put, ttl time.Duration) (blobs.Form, error)
	// SignPart signs a PUT of one part of size bytes.
	SignPart(ctx context.Context, now time.Time, p PartOf, ttl time.Duration) (blobs.Request, error)
	// SignGet signs a download; a client may ask for ranges of it.
	SignGet(ctx context.Context, now time.Time, g Get, ttl time.Duration) (blobs.Request, error)

	// BeginParts begins an upload in parts, and Parts lists what there is of it, in order.
	BeginParts(ctx context.Context, p Put) (uploadID string, err error)
	Parts(ctx context.Context, key, uploadID string) ([]StoredPart, error)
	// FinishParts makes them one object. Where it was done before, the object is there and the error, by the store, none,
	// ErrNoObject or ErrExists.
	FinishParts(ctx context.Context, key, uploadID string, parts []StoredPart) error
	// AbortParts forgets them; what is not there is no error.
	AbortParts(ctx context.Context, key, uploadID string) error

	// Head tells of an object.
	Head(ctx context.Context, key string) (Object, error)
	// Copy an object inside the bucket, of any size. The copy has that lock, or none where it is nil.
	Copy(ctx context.Context, from, to string, lock *Lock) (Object, error)
	// Retain locks what is there; a lock can be made longer, and by a plane not shorter.
	Retain(ctx context.Context, key, versionID string, lock Lock) error
	// Remove an object; what is not there is no error. Where the bucket keeps versions, it hides the object.
	Remove(ctx context.Context, key string) error
	// List up to 1,000 objects whose keys are after after and begin with prefix, in the order of their keys' bytes. One
	// call of the store.
	List(ctx context.Context, prefix, after string) (objects []Object, more bool, err error)
	// ListParts lists up to 1,000 uploads in parts that are not finished, after the given ones.
	ListParts(ctx context.Context, prefix string, after Unfinished) (uploads []Unfinished, more bool, err error)
}

// Put is an object that is to be written.
type Put struct {
	Key         string
	Size        int64
	ContentType string
	Checksum    *blobs.Checksum
	// Lock that it has from its writing on; nil for none.
	Lock *Lock
}

// PartOf is one part that is to be written.
type PartOf struct {
	Key, UploadID string
	// Number from 1.
	Number int
	Size   int64
}

// Get is a download.
type Get struct {
	Key, VersionID string
	// ContentType and Disposition are what the answer's headers say, where they are set.
	ContentType, Disposition string
}

// StoredPart is a part that the store has.
type StoredPart struct {
	Number int
	Size   int64
	ETag   string
}

// Object is what the store says of one.
type Object struct {
	Key         string
	Size        int64
	ContentType string
	ETag        string
	VersionID   string
	Checksum    *blobs.Checksum
	Modified    time.Time
	// RetainedUntil is until when the store refuses to remove it, by RetentionMode, and Held is true for one that has a legal hold
	// on it. Head alone tells.
	RetainedUntil time.Time
	RetentionMode string
	Held          bool
}

// locked reports whether the store refuses to remove an object.
func (o Object) locked(now time.Time) bool { return o.Held || now.Before(o.RetainedUntil) }

// Unfinished is an upload in parts that was neither finished nor aborted.
type Unfinished struct {
	Key, UploadID string
	Begun         time.Time
}
