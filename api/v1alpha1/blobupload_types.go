package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BlobUploads bound what is uploaded.
//
// +kubebuilder:validation:XValidation:rule="!has(self.urlTTL) || !has(self.pendingTimeout) || duration(self.urlTTL) <= duration(self.pendingTimeout)",message="urlTTL is above pendingTimeout, and a file may be pending as long as its requests are good: lower urlTTL, or raise pendingTimeout"
type BlobUploads struct {
	// maxBytes of one file, 1 to 10000 parts of multipartPartSize. Default: 5Gi.
	// +optional
	// +default="5Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1')) >= 0 && quantity(string(self)).compareTo(quantity('48Ti')) <= 0",message="maxBytes must be between 1 and 48Ti"
	MaxBytes *resource.Quantity `json:"maxBytes,omitempty"`

	// contentTypes that are taken, as media types or type/*, at most 64. Default: all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=127
	// +kubebuilder:validation:XValidation:rule="self.all(t, t.matches('^[a-z0-9!#$&^_.+-]+/([a-z0-9!#$&^_.+-]+|[*])$'))",message="a content type is type/subtype in lower case, as image/png, or type/*"
	ContentTypes []string `json:"contentTypes,omitempty"`

	// keyTemplate of the objects' keys, in which ${id}, ${owner}, ${date} (2006/01/02) and ${ext} stand for the file's,
	// 512 characters at most. It has ${id}, and begins with what no other objects of the bucket begin with. Files that are
	// there keep their keys. Default: files/${id}${ext}.
	// +optional
	// +default="files/${id}${ext}"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.contains('${id}')",message="keyTemplate has no ${id}, so that two files could have one key: add it"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.contains('//') && !self.contains('..')",message="keyTemplate is not a plain path: write it without a first /, without // and without .."
	KeyTemplate string `json:"keyTemplate,omitempty"`

	// urlTTL is how long a signed request is good for, 1m to 168h. Default: 15m.
	// +optional
	// +default="15m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="urlTTL must be between 1m and 168h"
	URLTTL *metav1.Duration `json:"urlTTL,omitempty"`

	// pendingTimeout is how long a file may be uploaded before it expires, 1m to 720h. Default: 24h.
	// +optional
	// +default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('720h')",message="pendingTimeout must be between 1m and 720h"
	PendingTimeout *metav1.Duration `json:"pendingTimeout,omitempty"`

	// multipartPartSize is the bytes of a part: larger files are uploaded in parts, 5Mi to 5Gi. Default: 16Mi.
	// +optional
	// +default="16Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('5Mi')) >= 0 && quantity(string(self)).compareTo(quantity('5Gi')) <= 0",message="multipartPartSize must be between 5Mi and 5Gi"
	MultipartPartSize *resource.Quantity `json:"multipartPartSize,omitempty"`

	// checksum is what every upload has to say of its bytes, None, SHA256 or CRC32C. Default: None.
	// +optional
	// +default="None"
	Checksum BlobChecksum `json:"checksum,omitempty"`

	// perOwner bounds each owner. Default: not at all.
	// +optional
	PerOwner *BlobOwnerLimits `json:"perOwner,omitempty"`
}

// BlobOwnerLimits bound each owner of files.
//
// +kubebuilder:validation:XValidation:rule="has(self.uploadsPerMinute) || has(self.bytes)",message="perOwner needs uploadsPerMinute, bytes, or both"
type BlobOwnerLimits struct {
	// uploadsPerMinute is how many uploads one owner may begin in any minute, 1 to 100000. Default: no bound.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	UploadsPerMinute *int32 `json:"uploadsPerMinute,omitempty"`

	// bytes of all files of one owner together, pending ones included. Default: no bound.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="bytes must be above 0"
	Bytes *resource.Quantity `json:"bytes,omitempty"`
}

// BlobDownloads say how files are fetched.
type BlobDownloads struct {
	// urlTTL is how long a signed request is good for, 1m to 168h. Default: 15m.
	// +optional
	// +default="15m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="urlTTL must be between 1m and 168h"
	URLTTL *metav1.Duration `json:"urlTTL,omitempty"`

	// cdnBaseURL has downloads go to a CDN in front of the bucket, unsigned: it is the CDN that admits readers then. It is
	// http or https, 2048 characters at most. Default: signed requests to the store.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && !self.matches('^[a-z]+://[^/?#]*@')",message="cdnBaseURL must be an absolute http or https URL without a user and a password"
	CDNBaseURL string `json:"cdnBaseURL,omitempty"`
}

// BlobOrphans say what becomes of objects that the ledger does not know, among those that begin as keyTemplate does.
type BlobOrphans struct {
	// policy is Report or Delete. Default: Report.
	// +optional
	// +default="Report"
	Policy BlobOrphanPolicy `json:"policy,omitempty"`

	// interval between two looks for them, 1m to 720h. Default: 24h.
	// +optional
	// +default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('720h')",message="interval must be between 1m and 720h"
	Interval *metav1.Duration `json:"interval,omitempty"`

	// grace is how old an object has to be to count as one, 1m to 8760h. Default: 24h.
	// +optional
	// +default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('8760h')",message="grace must be between 1m and 8760h"
	Grace *metav1.Duration `json:"grace,omitempty"`
}
