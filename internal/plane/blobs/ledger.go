package blobs

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/trellis-dev/trellis/pkg/blobs"
)

// What a Ledger answers when it can not do what is asked.
var (
	// ErrNotFound: there is no such file.
	ErrNotFound = errors.New("no such file")
	// ErrState: the file's status does not allow it.
	ErrState = errors.New("the file's status does not allow it")
	// ErrOwnerBytes: the owner's files come to as many bytes as one may have.
	ErrOwnerBytes = errors.New("the owner has as many bytes as allowed")
	// ErrOwnerRate: the owner began as many uploads as one may in the time.
	ErrOwnerRate = errors.New("the owner begins uploads too fast")
	// ErrQuota: all files come to as many bytes as the bucket may have.
	ErrQuota = errors.New("the bucket is full")
	// ErrKeyReused: the idempotency key stands for another upload.
	ErrKeyReused = errors.New("the idempotency key was used for another upload")
	// ErrKeyBusy: the key was the file's own before, and what may be written there is to be removed.
	ErrKeyBusy = errors.New("the key is not forgotten yet")
	// ErrCursor: the cursor is none that List gave.
	ErrCursor = errors.New("not a cursor of this list")
)

// Ledger keeps what is known of the files of one bucket. Every method is one atomic and durable step, safe for several
// replicas of the plane at once. A key is in the ledger from before anybody may write an object of it until that object
// is known to be gone for good: whatever the ledger does not know is not ours, or was never acknowledged.
type Ledger interface {
	// Run connects and prepares until ctx ends, through restarts of the engine.
	Run(ctx context.Context) error

	// Begin notes a pending file. With an idempotency key that is known and the same digest, it is the file that was begun
	// then, and existing is true.
	Begin(ctx context.Context, now time.Time, n NewFile, bounds Bounds) (f Entry, existing bool, err error)
	// SetParts notes under which id the store keeps the parts of a pending file, in place of before: of two replicas the first counts,
	// and the id that counts is returned.
	SetParts(ctx context.Context, id, before, uploadID string) (string, error)
	// Rekey gives a pending file another key, as the object of the one that it has is not its own: that is collected. ErrState
	// for a file that has another key by now, or is not pending.
	Rekey(ctx context.Context, now time.Time, id, from, to string) (Entry, error)
	// Arrived notes that the store has the whole file. From pending and, where its object was not collected yet, from
	// expired; from uploaded it changes nothing, but for an object that was written again, which is uploaded once more.
	// ErrState for a deleted one, and for one that was uploaded and expired by a rule.
	Arrived(ctx context.Context, now time.Time, id string, o Object) (Entry, error)
	// End has the file be expired or deleted for a reason, and its object be collected. Again is no fault; ErrState for
	// a file whose status is not among from.
	End(ctx context.Context, now time.Time, id string, to blobs.Status, reason string, from ...blobs.Status) (Entry, error)
	// Missing has an uploaded file be deleted whose object is not under key, where the file has that key still; ErrState
	// otherwise.
	Missing(ctx context.Context, now time.Time, id, key string) (Entry, error)
	// Expire has an uploaded file be expired by a rule, and its object be collected, where its key is this one and it is not
	// being moved; ErrState otherwise.
	Expire(ctx context.Context, now time.Time, id, key, reason string) (Entry, error)
	// BeginMove notes the key that an uploaded file's object is copied to; EndMove that it is there, and has the old one
	// be collected. ErrKeyBusy where that key was the file's own before and is not forgotten yet.
	BeginMove(ctx context.Context, now time.Time, id, key string) (Entry, error)
	EndMove(ctx context.Context, now time.Time, id, key string, o Object) (Entry, error)

	// Get a file by its id, and Find those of keys.
	Get(ctx context.Context, id string) (Entry, error)
	Find(ctx context.Context, keys []string) ([]Entry, error)
	// List files, the newest first.
	List(ctx context.Context, f Filter, cursor string, limit int) (blobs.Page, error)

	// Due leases work that is due to the caller for ttl: pending files past their time, objects to collect, moves that
	// were not ended.
	Due(ctx context.Context, now time.Time, limit int, ttl time.Duration) ([]Task, error)
	// Collected forgets the key of an object that is gone.
	Collected(ctx context.Context, key string) error
	// Postpone has a task be due again later.
	Postpone(ctx context.Context, t Task, until time.Time) error

	// Keys the ledger knows that begin with prefix, are after after and at most until, in the order of their bytes; an empty
	// until is no bound.
	Keys(ctx context.Context, prefix, after, until string, limit int) ([]KeyEntry, error)

	// Orphaned tells the sinks of objects that are nobody's. OrphansTold is what SetOrphansTold noted last, and never goes back;
	// zero at first.
	Orphaned(ctx context.Context, now time.Time, orphans []blobs.File) error
	OrphansTold(ctx context.Context) (time.Time, error)
	SetOrphansTold(ctx context.Context, until time.Time) error

	// Stats counts files and bytes by status.
	Stats(ctx context.Context) (Stats, error)

	// Events are the CloudEvents that a sink has not got yet, in order per file, leased to the caller for ttl; Sent forgets
	// those that it has got, or that are given up.
	Events(ctx context.Context, now time.Time, sink string, atMost int, ttl time.Duration) ([]Event, error)
	Sent(ctx context.Context, sink string, ids []string) error
	// Waiting is how many events a sink has not got yet; it need not count further than atMost.
	Waiting(ctx context.Context, sink string, atMost int) (int, error)

	// Reconfigure has settings count from now on.
	Reconfigure(s LedgerSettings)
}

// LedgerSettings are what a ledger has to know of the configuration.
type LedgerSettings struct {
	// Sinks by name, with the types of events each wants; nil for all.
	Sinks map[string][]string
}

// wants reports whether any sink is to be told of events of a type.
func (s LedgerSettings) wants(event string) bool {
	for _, types := range s.Sinks {
		if types == nil || slices.Contains(types, event) {
			return true
		}
	}
	return false
}

// NewFile is a checked upload.
type NewFile struct {
	blobs.File
	// Multipart is true for one that is uploaded in parts of PartSize bytes.
	Multipart bool
	PartSize  int64
	// Replaceable is true where whoever uploads it can write its object again, until the request for it ends.
	Replaceable    bool
	IdempotencyKey string
	// Digest of what the idempotency key stands for.
	Digest      []byte
	TraceParent string
}

// Bounds of one owner and of the bucket; 0 is none.
type Bounds struct {
	// OwnerBytes and BucketBytes of all files that are pending or uploaded.
	OwnerBytes, BucketBytes int64
	// OwnerUploads may be begun in OwnerWindow.
	OwnerUploads int
	OwnerWindow  time.Duration
}

// Entry is a file and what only the plane has to know of it.
type Entry struct {
	blobs.File
	Multipart   bool
	PartSize    int64
	Replaceable bool
	// UploadID of the store; empty until it was asked for one.
	UploadID string
	// URLsUntil is when the last request that was signed for its upload is refused, whatever became of the file.
	URLsUntil time.Time
	// MovingTo is the key that it is being copied to.
	MovingTo    string
	TraceParent string
}

// WatchedUntil is when no request for its upload can be under way any more.
func (e Entry) WatchedUntil() time.Time { return e.URLsUntil.Add(slack) }

// again reports whether the object of an uploaded file may have been written again.
func (e Entry) again() bool {
	return e.Status == blobs.StatusUploaded && e.Replaceable && e.VersionID == ""
}

// byRule reports whether a file expired that had been uploaded.
func (e Entry) byRule() bool { return e.Status == blobs.StatusExpired && e.UploadedAt != nil }

// Filter of a list.
type Filter struct {
	// Owner of the files; nil for all.
	Owner  *string
	Status blobs.Status
	// Prefix of the key.
	Prefix string
	// Metadata that a file must have.
	Metadata map[string]string
}

// TaskKind is what is to be done.
type TaskKind int

// The kinds of tasks.
const (
	// TaskExpire looks for the object of a pending file whose time is over.
	TaskExpire TaskKind = iota
	// TaskCollect removes an object, and aborts its upload in parts.
	TaskCollect
	// TaskMove ends a move.
	TaskMove
)

// Task is due work on one key.
type Task struct {
	Kind TaskKind
	Key  string
	// Entry of the key's file.
	Entry Entry
	// Attempts so far.
	Attempts int
}

// KeyEntry is a key that the ledger knows.
type KeyEntry struct {
	Key string
	// File is the id of the file whose key it is.
	File string
	// Status of the file; Collecting is true where the object is to be removed.
	Status     blobs.Status
	Collecting bool
	// Since is when the status was taken.
	Since time.Time
}

// Stats of a bucket.
type Stats struct {
	// Files and Bytes by status.
	Files, Bytes map[blobs.Status]int64
	// Collecting is how many objects are to be removed still.
	Collecting int64
}

// Event is a CloudEvent to be sent.
type Event struct {
	// ID is unique, and the same at every attempt to send it.
	ID   string
	Type string
	Time time.Time
	File blobs.File
	// TraceParent of the upload.
	TraceParent string
}
