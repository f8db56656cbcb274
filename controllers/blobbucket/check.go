package blobbucket

import (
	"strings"

	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
)

// mostParts of one upload, by S3.
const mostParts = 10_000

// check refuses what the schema could not.
func check(b *v1alpha1.BlobBucket, in pattern.Inputs) error {
	u := b.Spec.Uploads
	most, part := planes.Bytes(u.MaxBytes), planes.Bytes(u.MultipartPartSize)
	if part > 0 && most > part*mostParts {
		return pattern.Invalid("spec.uploads.maxBytes is %s, which are more than %d parts of multipartPartSize %s: raise multipartPartSize, or lower maxBytes",
			u.MaxBytes, mostParts, u.MultipartPartSize)
	}
	if l := b.Spec.ObjectLock; l != nil && l.Retention != nil && u.Checksum == v1alpha1.BlobChecksumNone {
		return pattern.Invalid("spec.objectLock.retention locks each upload, which S3 does only for one with a checksum, and spec.uploads.checksum is None: set it to SHA256 or CRC32C")
	}
	rest := u.KeyTemplate
	for _, known := range []string{"${id}", "${owner}", "${date}", "${ext}"} {
		rest = strings.ReplaceAll(rest, known, "x")
	}
	if strings.ContainsAny(rest, "${}\\") {
		return pattern.Invalid("spec.uploads.keyTemplate is %q, and has something other than ${id}, ${owner}, ${date} and ${ext} in it: remove that", u.KeyTemplate)
	}
	if err := checkSizes(b.Spec.Lifecycle); err != nil {
		return err
	}
	if in.Engine.External && b.Spec.BucketName == "" {
		return pattern.Invalid("spec.bucketName is empty, and Engine %q is run by others, where Trellis makes up no names: set it to the name of the bucket", in.Engine.Name)
	}
	if in.Engine.External && !ptr.Deref(b.Spec.Adopt, false) {
		return pattern.Invalid("Engine %q is run by others, where Trellis makes no buckets: make the bucket %q there and set spec.adopt to true", in.Engine.Name, b.Spec.BucketName)
	}
	return nil
}

// checkSizes are of quantities in a list, which would cost an API server more than it spends on a rule.
func checkSizes(rules []v1alpha1.BlobLifecycleRule) error {
	for _, r := range rules {
		switch least, most := planes.Bytes(r.MinSize), planes.Bytes(r.MaxSize); {
		case r.MinSize != nil && least < 1:
			return pattern.Invalid("minSize of spec.lifecycle %q is %s: set it to 1 or more, or remove it", r.Name, r.MinSize)
		case r.MaxSize != nil && most < 1:
			return pattern.Invalid("maxSize of spec.lifecycle %q is %s: set it to 1 or more, or remove it", r.Name, r.MaxSize)
		case r.MaxSize != nil && least > most:
			return pattern.Invalid("minSize of spec.lifecycle %q is %s and above maxSize, which is %s: lower it, or raise maxSize", r.Name, r.MinSize, r.MaxSize)
		}
	}
	return nil
}
