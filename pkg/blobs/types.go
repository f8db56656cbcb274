package blobs

import "time"

// Status is where a file is on its way.
type Status string

const (
	// StatusPending was promised a place: its bytes are not there yet, or not known to be.
	StatusPending Status = "pending"
	// StatusUploaded has all its bytes in the store, as many and of the hash that were said.
	StatusUploaded Status = "uploaded"
	// StatusExpired was not uploaded in time, or was removed by a rule of the bucket's lifecycle.
	StatusExpired Status = "expired"
	// StatusDeleted was deleted or aborted on request, or taken out of the store by somebody else.
	StatusDeleted Status = "deleted"
	// StatusOrphaned is of an object that is nobody's file, and in events alone.
	StatusOrphaned Status = "orphaned"
)

// Statuses are all that a file can have.
func Statuses() []Status {
	return []Status{StatusPending, StatusUploaded, StatusExpired, StatusDeleted}
}

// Gone reports whether the file's bytes are not to be had any more.
func (s Status) Gone() bool { return s == StatusExpired || s == StatusDeleted }

// The types of the CloudEvents that tell of a file.
const (
	EventPending  = "dev.trellis.blob.pending"
	EventUploaded = "dev.trellis.blob.uploaded"
	EventExpired  = "dev.trellis.blob.expired"
	EventDeleted  = "dev.trellis.blob.deleted"
	EventOrphaned = "dev.trellis.blob.orphaned"
)

// Algorithm of a checksum.
type Algorithm string

// The algorithms of checksums.
const (
	SHA256 Algorithm = "SHA256"
	CRC32C Algorithm = "CRC32C"
)

// Checksum of a file's bytes.
type Checksum struct {
	Algorithm Algorithm `json:"algorithm" enum:"SHA256,CRC32C" doc:"How it is computed."`
	// Value in base64, as S3 writes it.
	Value string `json:"value" maxLength:"64" doc:"The checksum in base64."`
}

// NewUpload asks for a place for a file.
type NewUpload struct {
	Filename    string            `json:"filename" minLength:"1" maxLength:"255" doc:"What a download is called. The key in the store is made by the server."`
	ContentType string            `json:"contentType,omitempty" maxLength:"255" doc:"Media type; application/octet-stream by default."`
	Size        int64             `json:"size" minimum:"0" doc:"How many bytes there are. The store takes as many and no more."`
	Checksum    *Checksum         `json:"checksum,omitempty" doc:"What the store compares the bytes with."`
	Owner       string            `json:"owner,omitempty" maxLength:"128" doc:"Whose file it is; the token's subject by default and, without full rights, always."`
	Metadata    map[string]string `json:"metadata,omitempty" doc:"Up to 16 labels; keys of 63 and values of 256 characters at most."`
	Form        bool              `json:"form,omitempty" doc:"True for a form to be posted by a browser, instead of a PUT."`
}

// Request is one HTTP request to the store, to be sent as it is and with all its headers.
type Request struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty" doc:"Signed: a request without them, or with others, is refused by the store."`
}

// Form is posted as multipart/form-data to URL, with these fields and, last, the file in the field file.
type Form struct {
	URL    string            `json:"url"`
	Fields map[string]string `json:"fields"`
}

// Part of a large file, to be sent by Request.
type Part struct {
	Number  int     `json:"number" doc:"From 1."`
	Offset  int64   `json:"offset" doc:"Where it begins in the file, in bytes."`
	Size    int64   `json:"size" doc:"How many bytes it has."`
	Request Request `json:"request"`
}

// SentPart is a part that the store has acknowledged.
type SentPart struct {
	Number int    `json:"number" minimum:"1" maximum:"10000" doc:"From 1."`
	ETag   string `json:"etag" minLength:"1" maxLength:"128" doc:"The header ETag of the store's answer to the part's PUT, with its quotes or without."`
}

// Completion says what was sent of an upload in parts; of any other it says nothing.
type Completion struct {
	// Parts are all of the file's. Stores that list a part that was cut off as a whole one need them.
	Parts []SentPart `json:"parts,omitempty" maxItems:"10000" doc:"All parts of the file, in any order, each with the ETag that the store answered when it was sent whole."`
}

// Upload is a place for a file: one of Put, Form and Parts says how to fill it.
type Upload struct {
	File
	Put   *Request `json:"put,omitempty"`
	Form  *Form    `json:"form,omitempty"`
	Parts []Part   `json:"parts,omitempty" doc:"The parts that are missing, up to 1,000 of them."`
	// Stored is how many bytes are in parts that the store has.
	Stored int64 `json:"stored,omitempty" doc:"How many bytes the store has in whole parts."`
	// URLsExpireAt is when the requests are refused; GET of the upload gives fresh ones.
	URLsExpireAt *time.Time `json:"urlsExpireAt,omitempty"`
}

// File is what the ledger knows of a file.
type File struct {
	ID          string            `json:"id" doc:"UUIDv7."`
	Key         string            `json:"key" doc:"The object's key in the store, made by the server."`
	Status      Status            `json:"status" enum:"pending,uploaded,expired,deleted"`
	Filename    string            `json:"filename"`
	ContentType string            `json:"contentType"`
	Size        int64             `json:"size"`
	Checksum    *Checksum         `json:"checksum,omitempty"`
	Owner       string            `json:"owner,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	ETag        string            `json:"etag,omitempty"`
	VersionID   string            `json:"versionId,omitempty"`
	CreatedAt   time.Time         `json:"createdAt"`
	// ExpiresAt is when a pending file is given up.
	ExpiresAt  *time.Time `json:"expiresAt,omitempty"`
	UploadedAt *time.Time `json:"uploadedAt,omitempty"`
	EndedAt    *time.Time `json:"endedAt,omitempty"`
	// Reason why it ended.
	Reason string `json:"reason,omitempty"`
	// Revision grows with each change.
	Revision int64 `json:"revision"`
}

// Page of files.
type Page struct {
	Files []File `json:"files"`
	// Cursor of the next page; empty after the last one.
	Cursor string `json:"cursor,omitempty"`
}

// Stats count the files of a bucket.
type Stats struct {
	Files map[Status]int64 `json:"files" doc:"How many files there are, by status."`
	Bytes map[Status]int64 `json:"bytes" doc:"How many bytes they have, by status."`
	// Collecting objects are no file's any more. A key counts until no request can write it again.
	Collecting int64 `json:"collecting" doc:"How many keys are watched so that no object of them stays in the store."`
	Used       int64 `json:"used" doc:"How many bytes count for the quota: those of pending and uploaded files."`
	Quota      int64 `json:"quota,omitempty" doc:"How many bytes there may be; absent for no bound."`
}
