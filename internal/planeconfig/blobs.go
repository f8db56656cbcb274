package planeconfig

// Metrics of a bucket's plane, each of the whole bucket.
const (
	// MetricBlobFiles and MetricBlobBytes count files by LabelStatus.
	MetricBlobFiles = "trellis_blobs_files"
	MetricBlobBytes = "trellis_blobs_bytes"
	// MetricBlobEmptying is 1 while the bucket is being emptied, and MetricBlobRemaining then 0 when nothing is left. Of what is,
	// MetricBlobRemainingLocked counts what the store does not let be removed.
	MetricBlobEmptying        = "trellis_blobs_emptying"
	MetricBlobRemaining       = "trellis_blobs_remaining"
	MetricBlobRemainingLocked = "trellis_blobs_remaining_locked"
)

// Blobs configures the plane of a BlobBucket.
type Blobs struct {
	// StoreDir is where the Secret of the store is mounted, with the keys of S3Keys.
	StoreDir string `json:"storeDir"`
	// Bucket of a store that others run; the Secret's own by default.
	Bucket string `json:"bucket,omitempty"`
	// PublicEndpoint is the store's URL as clients reach it; the Secret's publicUri or else its uri by default.
	PublicEndpoint string `json:"publicEndpoint,omitempty"`
	// Conditional is true for a store that refuses to write over an object where If-None-Match: * asks for it.
	Conditional bool `json:"conditional,omitempty"`

	Uploads   BlobUploads   `json:"uploads"`
	Downloads BlobDownloads `json:"downloads"`
	Orphans   BlobOrphans   `json:"orphans"`
	// Playground serves a page at / on which uploads are tried by hand.
	Playground bool `json:"playground,omitempty"`
	// Emptying has the plane take no uploads and remove all objects, for the bucket is to go.
	Emptying bool `json:"emptying,omitempty"`
	// Quota is the most bytes of all files, pending ones included; 0 for none.
	Quota int64 `json:"quota,omitempty"`
	// Settings that the bucket itself is kept at, and Rules by which objects end.
	Settings BlobSettings `json:"settings"`
	Rules    []BlobRule   `json:"rules,omitempty"`
	Sinks    []Sink       `json:"sinks,omitempty"`
}

// BlobSettings are those of the bucket itself. What is not set here is left as it is.
type BlobSettings struct {
	// Features is what is known of the store; the bucket is asked for what is not.
	Features S3Features `json:"features,omitempty"`
	// Every is how often the bucket is compared with all this.
	Every Duration `json:"every"`
	// Versioning is Enabled, Suspended or, empty, left as it is.
	Versioning string `json:"versioning,omitempty"`
	// Encryption of new objects; nil for the store's own choice.
	Encryption *BlobEncryption `json:"encryption,omitempty"`
	// CORS rules, by name.
	CORS []BlobCORS `json:"cors,omitempty"`
	// Retention of new objects, in a bucket with object lock; nil for none.
	Retention *BlobRetention `json:"retention,omitempty"`
	// BlockPublic has the store refuse policies and lists that open the bucket to everybody.
	BlockPublic bool `json:"blockPublic,omitempty"`
}

// BlobEncryption of new objects at rest.
type BlobEncryption struct {
	// Algorithm is AES256 or aws:kms, and KeyID the key of the latter, the account's own by default.
	Algorithm string `json:"algorithm"`
	KeyID     string `json:"keyID,omitempty"`
}

// BlobCORS is what pages of other origins may do.
type BlobCORS struct {
	Name    string   `json:"name"`
	Origins []string `json:"origins"`
	Methods []string `json:"methods"`
	Headers []string `json:"headers,omitempty"`
	Expose  []string `json:"expose,omitempty"`
	MaxAge  Duration `json:"maxAge,omitempty"`
}

// BlobRetention holds new objects for a time.
type BlobRetention struct {
	// Mode is GOVERNANCE or COMPLIANCE.
	Mode string `json:"mode"`
	Days int    `json:"days"`
}

// BlobRule ends objects, by the store where it can and by the plane where not. All that is set of Prefix, Tags, MinBytes and
// MaxBytes must be true of an object.
type BlobRule struct {
	Name   string            `json:"name"`
	Prefix string            `json:"prefix,omitempty"`
	Tags   map[string]string `json:"tags,omitempty"`
	// MinBytes and MaxBytes are the least and the most bytes of an object; 0 for no bound.
	MinBytes int64 `json:"minBytes,omitempty"`
	MaxBytes int64 `json:"maxBytes,omitempty"`
	// Expire objects so long after they were written; 0 for never, as with all of these.
	Expire Duration `json:"expire,omitempty"`
	// Transitions to storage classes.
	Transitions []BlobTransition `json:"transitions,omitempty"`
	// AbortIncomplete aborts uploads in parts so long after they were begun.
	AbortIncomplete Duration `json:"abortIncomplete,omitempty"`
	// ExpireNoncurrent removes versions so long after they were replaced, but for the newest KeepNoncurrent of each object.
	ExpireNoncurrent Duration `json:"expireNoncurrent,omitempty"`
	KeepNoncurrent   int      `json:"keepNoncurrent,omitempty"`
}

// BlobTransition moves objects to a storage class.
type BlobTransition struct {
	After        Duration `json:"after"`
	StorageClass string   `json:"storageClass"`
}

// BlobUploads bound what is uploaded.
type BlobUploads struct {
	// MaxBytes of one file.
	MaxBytes int64 `json:"maxBytes"`
	// ContentTypes are media types, or type/*; empty for all.
	ContentTypes []string `json:"contentTypes,omitempty"`
	// KeyTemplate of the objects' keys, in which ${id}, ${owner}, ${date} (2006/01/02) and ${ext} stand for the file's. It
	// has ${id}, and begins with what no other objects of the bucket begin with.
	KeyTemplate string `json:"keyTemplate"`
	// URLTTL is how long a signed request is good for, and PendingTimeout how long a file may be pending; the longer of the two.
	URLTTL         Duration `json:"urlTTL"`
	PendingTimeout Duration `json:"pendingTimeout"`
	// PartSize in bytes: larger files are uploaded in parts of it.
	PartSize int64 `json:"partSize"`
	// Checksum that every upload has to say: SHA256, CRC32C or, empty, none.
	Checksum string `json:"checksum,omitempty"`
	// OwnerBytes of all files of one owner, and OwnerUploads that one may begin in OwnerWindow; 0 for no bound.
	OwnerBytes   int64    `json:"ownerBytes,omitempty"`
	OwnerUploads int      `json:"ownerUploads,omitempty"`
	OwnerWindow  Duration `json:"ownerWindow,omitempty"`
}

// BlobDownloads say how files are fetched.
type BlobDownloads struct {
	// URLTTL is how long a signed request is good for.
	URLTTL Duration `json:"urlTTL"`
	// BaseURL of a CDN in front of the bucket: downloads are unsigned requests to it where it is set.
	BaseURL string `json:"baseURL,omitempty"`
}

// BlobOrphans say what becomes of objects that the ledger does not know.
type BlobOrphans struct {
	// Remove them, or report them only.
	Remove bool `json:"remove,omitempty"`
	// Every is how often they are looked for, and Grace how old they have to be.
	Every Duration `json:"every"`
	Grace Duration `json:"grace"`
}
