package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BlobVersioning says whether a bucket keeps what an object was before.
//
// +kubebuilder:validation:Enum=Enabled;Suspended
type BlobVersioning string

// BlobEncryptionAlgorithm is how objects are encrypted at rest.
//
// +kubebuilder:validation:Enum=AES256;KMS
type BlobEncryptionAlgorithm string

const (
	// BlobEncryptionAES256 by keys of the store.
	BlobEncryptionAES256 BlobEncryptionAlgorithm = "AES256"
	// BlobEncryptionKMS by a key of a key management service.
	BlobEncryptionKMS BlobEncryptionAlgorithm = "KMS"
)

// BlobRetentionMode says who may shorten a retention.
//
// +kubebuilder:validation:Enum=Governance;Compliance
type BlobRetentionMode string

// BlobChecksum is what every upload has to say of its bytes.
//
// +kubebuilder:validation:Enum=None;SHA256;CRC32C
type BlobChecksum string

// BlobChecksumNone asks for none; one that an upload says is compared all the same.
const BlobChecksumNone BlobChecksum = "None"

// BlobOrphanPolicy says what becomes of objects that the ledger does not know.
//
// +kubebuilder:validation:Enum=Report;Delete
type BlobOrphanPolicy string

const (
	// BlobOrphansReport counts and tells of them.
	BlobOrphansReport BlobOrphanPolicy = "Report"
	// BlobOrphansDelete removes them.
	BlobOrphansDelete BlobOrphanPolicy = "Delete"
)

// BlobBucketSpec says how files are uploaded, kept and ended.
//
// +kubebuilder:validation:XValidation:rule="!has(self.adopt) || !self.adopt || has(self.bucketName)",message="adopt takes over a bucket that is there: set bucketName to its name, or remove adopt"
// +kubebuilder:validation:XValidation:rule="has(self.bucketName) == has(oldSelf.bucketName) && (!has(self.bucketName) || self.bucketName == oldSelf.bucketName)",message="bucketName can not be changed, as files do not move from one store or ledger to another: create another BlobBucket, and delete this one when its files are no longer wanted"
// +kubebuilder:validation:XValidation:rule="has(self.engineSelection) == has(oldSelf.engineSelection) && (!has(self.engineSelection) || self.engineSelection == oldSelf.engineSelection)",message="engineSelection can not be changed, as files do not move from one store or ledger to another: create another BlobBucket, and delete this one when its files are no longer wanted"
// +kubebuilder:validation:XValidation:rule="has(self.ledgerSelection) == has(oldSelf.ledgerSelection) && (!has(self.ledgerSelection) || self.ledgerSelection == oldSelf.ledgerSelection)",message="ledgerSelection can not be changed, as files do not move from one store or ledger to another: create another BlobBucket, and delete this one when its files are no longer wanted"
// +kubebuilder:validation:XValidation:rule="has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className)",message="className can not be changed, as files do not move from one store or ledger to another: create another BlobBucket, and delete this one when its files are no longer wanted"
// +kubebuilder:validation:XValidation:rule="has(self.objectLock) == has(oldSelf.objectLock)",message="objectLock is given to a bucket when it is made or not at all: create another BlobBucket"
// +kubebuilder:validation:XValidation:rule="!has(self.objectLock) || !has(self.versioning) || self.versioning == 'Enabled'",message="a bucket with objectLock keeps versions: set versioning to Enabled, or remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.sinks) || self.sinks.all(s, !has(s.types) || s.types.all(t, t in ['pending', 'uploaded', 'expired', 'deleted', 'orphaned']))",message="a sink's types of a BlobBucket are pending, uploaded, expired, deleted and orphaned: remove the others"
type BlobBucketSpec struct {
	PatternSpec `json:",inline"`

	// engineSelection says which Engine of type S3 holds the objects. It can not be changed, nor className. Default: the
	// shared one of the namespace and class.
	// +optional
	EngineSelection *EngineSelection `json:"engineSelection,omitempty"`

	// ledgerSelection says which Engine of type PostgreSQL holds the ledger of the files. It can not be changed. Default: the
	// shared one of the namespace and class.
	// +optional
	LedgerSelection *EngineSelection `json:"ledgerSelection,omitempty"`

	// replicas of the plane, which signs requests and keeps the ledger, 0 to 100; no byte of a file passes it. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Replicas *int32 `json:"replicas,omitempty"`

	// bucketName in the store, by the rules of S3 and without dots, 3 to 63 characters. It can not be changed. Default: made
	// once of the object's name and a random text, and kept.
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9][a-z0-9-]*[a-z0-9]$')",message="bucketName is lower case letters, digits and '-', 3 to 63 characters, and begins and ends with a letter or digit"
	BucketName string `json:"bucketName,omitempty"`

	// adopt takes over a bucket called bucketName that is there and belongs to no other BlobBucket. What is in it stays, and
	// no object outside of uploads.keyTemplate is judged an orphan. Default: false.
	// +optional
	Adopt *bool `json:"adopt,omitempty"`

	// versioning is Enabled or Suspended. Default: as the bucket is.
	// +optional
	Versioning BlobVersioning `json:"versioning,omitempty"`

	// encryption of new objects at rest. Default: the store's own choice.
	// +optional
	Encryption *BlobEncryption `json:"encryption,omitempty"`

	// cors rules of the bucket by name, at most 16; rules of others stay. Default: none.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	CORS []BlobCORSRule `json:"cors,omitempty"`

	// objectLock has objects be held for a time. A bucket has it from the beginning or not at all. Default: not.
	// +optional
	ObjectLock *BlobObjectLock `json:"objectLock,omitempty"`

	// quota is the most bytes of all files together, pending ones included. Default: none.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="quota must be above 0"
	Quota *resource.Quantity `json:"quota,omitempty"`

	// lifecycle ends objects by rules, at most 32. What the store does not do by itself, the plane does. Rules of others stay.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Lifecycle []BlobLifecycleRule `json:"lifecycle,omitempty"`

	// uploads bound what is uploaded.
	// +optional
	// +default={}
	Uploads BlobUploads `json:"uploads,omitzero"`

	// downloads say how files are fetched.
	// +optional
	// +default={}
	Downloads BlobDownloads `json:"downloads,omitzero"`

	// orphans are objects that the ledger does not know.
	// +optional
	// +default={}
	Orphans BlobOrphans `json:"orphans,omitzero"`

	// playground is Enabled or Disabled: a page at / of the bucket on which uploads are tried by hand.
	// Default: what the class says.
	// +optional
	Playground Playground `json:"playground,omitempty"`

	// allowedOrigins of browsers at the contract, as scheme://host[:port] with * for one label, or * for all; at most 32.
	// The store's own are those of cors. Default: the contract's own origin.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.all(o, o == '*' || o.matches('^https?://[A-Za-z0-9.*-]+(:[0-9]{1,5})?$'))",message="an origin is scheme://host[:port] with http or https and no path, e.g. https://app.example.com, with * for a label, or * for all"
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`

	// exposure of the contract outside the cluster; the store's is its Engine's. Default: a ClusterIP Service.
	// +optional
	Exposure *Exposure `json:"exposure,omitempty"`
}

// BlobEncryption of new objects at rest.
//
// +kubebuilder:validation:XValidation:rule="!has(self.keyID) || self.algorithm == 'KMS'",message="keyID is of the algorithm KMS: set algorithm to KMS, or remove keyID"
type BlobEncryption struct {
	// algorithm is AES256 or KMS. Default: AES256.
	// +optional
	// +default="AES256"
	Algorithm BlobEncryptionAlgorithm `json:"algorithm,omitempty"`

	// keyID of the key management service, 2048 characters at most. Default: the account's own key.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	KeyID string `json:"keyID,omitempty"`
}

// BlobMethod is an HTTP method that a page may use.
//
// +kubebuilder:validation:Enum=GET;HEAD;PUT;POST;DELETE
type BlobMethod string

// BlobCORSRule is what pages of other origins may do at the store.
type BlobCORSRule struct {
	// name of the rule, lower case letters, digits and '-', 63 characters at most.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="a rule's name is lower case letters, digits and '-', 63 characters at most"
	Name string `json:"name,omitempty"`

	// origins of the pages, as scheme://host[:port], or * for all, 1 to 32.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.all(o, o == '*' || o.matches('^https?://[A-Za-z0-9.*-]+(:[0-9]{1,5})?$'))",message="an origin is scheme://host[:port] with http or https and no path, e.g. https://app.example.com, with * for a label, or * for all"
	Origins []string `json:"origins,omitempty"`

	// methods that they may use. Default: GET, HEAD, PUT and POST, which uploads and downloads need.
	// +optional
	// +listType=set
	// +default=["GET","HEAD","PUT","POST"]
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	Methods []BlobMethod `json:"methods,omitempty"`

	// headers that they may send, at most 32. Default: *, which is all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +default=["*"]
	Headers []string `json:"headers,omitempty"`

	// exposeHeaders that they may read, at most 32. Default: ETag, which uploads in parts need.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +default=["ETag"]
	ExposeHeaders []string `json:"exposeHeaders,omitempty"`

	// maxAge is how long a browser need not ask again, 0s to 24h. Default: 1h.
	// +optional
	// +default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="maxAge must be between 0s and 24h"
	MaxAge *metav1.Duration `json:"maxAge,omitempty"`
}

// BlobObjectLock has objects be held for a time.
type BlobObjectLock struct {
	// retention of new objects; it asks for uploads.checksum. Default: none, but for those that are locked by a client of the store.
	// +optional
	Retention *BlobRetention `json:"retention,omitempty"`
}

// BlobRetention of new objects: they are not deleted before its end, also not by Trellis.
type BlobRetention struct {
	// mode is Governance, which the store's administrator can shorten, or Compliance, which nobody can. Default: Governance.
	// +optional
	// +default="Governance"
	Mode BlobRetentionMode `json:"mode,omitempty"`

	// days from the upload, 1 to 36500. A store is told the end before the bytes come: an object is kept longer by up to uploads.urlTTL,
	// or uploads.pendingTimeout where it comes in parts, and a quarter of an hour.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=36500
	Days int32 `json:"days,omitempty"`
}

// BlobBucketStatus says how a bucket is.
type BlobBucketStatus struct {
	PatternStatus `json:",inline"`
	ScaleStatus   `json:",inline"`

	// bucketName in the store.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	BucketName string `json:"bucketName,omitempty"`

	// files are counted now and then: when the spec changes, and every few minutes where they are many more or fewer. The
	// numbers of now are those of GET /v1/stats.
	// +optional
	Files *BlobCountsStatus `json:"files,omitempty"`
}

// BlobCountsStatus has the files of a bucket by their status, each rounded to two digits.
type BlobCountsStatus struct {
	// pending files, which are being uploaded.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Pending int64 `json:"pending,omitempty"`

	// uploaded files.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Uploaded int64 `json:"uploaded,omitempty"`

	// bytes of the uploaded files.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Bytes int64 `json:"bytes,omitempty"`

	// countedAt is when they were counted.
	// +optional
	CountedAt metav1.Time `json:"countedAt,omitzero"`
}

// BlobBucket is a bucket of a store whose files clients upload and download themselves, with a ledger of them.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:shortName=blob,categories=patterns;trellis
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Engine",type=string,JSONPath=`.status.engine.name`
// +kubebuilder:printcolumn:name="Bucket",type=string,JSONPath=`.status.bucketName`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.endpoints[0].url`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40 && !format.dns1123Label().validate(self.metadata.name).hasValue()",message="the name must be lower case letters, digits and '-', 40 characters at most: other names are made from it"
type BlobBucket struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says how files are uploaded, kept and ended.
	// +optional
	// +default={}
	Spec BlobBucketSpec `json:"spec,omitzero"`

	// status says how the bucket is.
	// +optional
	// +default={"conditions":[{"type":"Ready","status":"Unknown","reason":"Pending","message":"the operator has not looked at it yet","lastTransitionTime":"1970-01-01T00:00:00Z"}]}
	Status BlobBucketStatus `json:"status,omitzero"`
}

// GetPatternSpec implements Pattern.
func (b *BlobBucket) GetPatternSpec() *PatternSpec { return &b.Spec.PatternSpec }

// GetPatternStatus implements Pattern.
func (b *BlobBucket) GetPatternStatus() *PatternStatus { return &b.Status.PatternStatus }

// BlobBucketList is a list of BlobBuckets.
//
// +kubebuilder:object:root=true
type BlobBucketList struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// items of the list.
	// +required
	Items []BlobBucket `json:"items"`
}
