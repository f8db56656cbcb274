package planeconfig

// Blobs configures the plane of a BlobBucket.
type Blobs struct {
	// StoreDir is where the Secret of the store is mounted, with the keys of S3Keys.
	StoreDir string `json:"storeDir"`
	// PublicEndpoint is the store's URL as clients reach it; the Secret's uri by default.
	PublicEndpoint string `json:"publicEndpoint,omitempty"`
	// Conditional is true for a store that refuses to write over an object where If-None-Match: * asks for it.
	Conditional bool `json:"conditional,omitempty"`

	Uploads   BlobUploads   `json:"uploads"`
	Downloads BlobDownloads `json:"downloads"`
	Orphans   BlobOrphans   `json:"orphans"`
	// Quota is the most bytes of all files, pending ones included; 0 for none.
	Quota int64  `json:"quota,omitempty"`
	Sinks []Sink `json:"sinks,omitempty"`
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
