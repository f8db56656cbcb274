package blobbucket

import (
	"strings"
	"time"

	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// maxBody has room for an upload with all its metadata.
	maxBody = 256 << 10
	// settingsEvery is how often the bucket is compared with the spec.
	settingsEvery = 5 * time.Minute
)

// planeConfig is the plane's configuration.
func planeConfig(b *v1alpha1.BlobBucket, in pattern.Inputs) planeconfig.Config {
	config := planes.Config(owner(b.Namespace, b.Name))
	config.HTTP = planeconfig.HTTP{MaxBodyBytes: maxBody, AllowedOrigins: b.Spec.AllowedOrigins}
	config.Engine = planes.Engine(in.Others[0], "trellis:blob:"+b.Name+":")
	config.Blobs = blobsConfig(b, in)
	return config
}

func blobsConfig(b *v1alpha1.BlobBucket, in pattern.Inputs) *planeconfig.Blobs {
	s := b.Spec
	out := &planeconfig.Blobs{
		StoreDir:       in.Engine.Dir(),
		PublicEndpoint: in.Engine.PublicURL,
		Uploads:        uploadsConfig(s.Uploads),
		Downloads:      planeconfig.BlobDownloads{URLTTL: planes.Duration(s.Downloads.URLTTL), BaseURL: s.Downloads.CDNBaseURL},
		Orphans: planeconfig.BlobOrphans{
			Remove: s.Orphans.Policy == v1alpha1.BlobOrphansDelete, Every: planes.Duration(s.Orphans.Interval), Grace: planes.Duration(s.Orphans.Grace),
		},
		Quota:      planes.Bytes(s.Quota),
		Settings:   settingsConfig(b, in),
		Playground: planes.Playground(b.Spec.Playground, in.Class),
		Sinks:      planes.Sinks(s.Sinks, in, eventTypes),
	}
	if in.Engine.External {
		out.Bucket = s.BucketName
	} else {
		out.Conditional = out.Settings.Features.Of(planeconfig.S3ConditionalPut) == planeconfig.S3Native
	}
	for i := range s.Lifecycle {
		out.Rules = append(out.Rules, ruleConfig(&s.Lifecycle[i]))
	}
	return out
}

func uploadsConfig(u v1alpha1.BlobUploads) planeconfig.BlobUploads {
	out := planeconfig.BlobUploads{
		MaxBytes:       planes.Bytes(u.MaxBytes),
		ContentTypes:   u.ContentTypes,
		KeyTemplate:    u.KeyTemplate,
		URLTTL:         planes.Duration(u.URLTTL),
		PendingTimeout: planes.Duration(u.PendingTimeout),
		PartSize:       planes.Bytes(u.MultipartPartSize),
	}
	if u.Checksum != v1alpha1.BlobChecksumNone {
		out.Checksum = string(u.Checksum)
	}
	if p := u.PerOwner; p != nil {
		out.OwnerBytes = planes.Bytes(p.Bytes)
		if p.UploadsPerMinute != nil {
			out.OwnerUploads, out.OwnerWindow = int(*p.UploadsPerMinute), planeconfig.Duration(time.Minute)
		}
	}
	return out
}

// settingsConfig has public access blocked, always.
func settingsConfig(b *v1alpha1.BlobBucket, in pattern.Inputs) planeconfig.BlobSettings {
	s := b.Spec
	out := planeconfig.BlobSettings{Every: planeconfig.Duration(settingsEvery), Versioning: string(s.Versioning), BlockPublic: true}
	if !in.Engine.External {
		out.Features = planeconfig.ProvisionedS3Features()
	}
	if e := s.Encryption; e != nil {
		out.Encryption = &planeconfig.BlobEncryption{Algorithm: string(e.Algorithm), KeyID: e.KeyID}
		if e.Algorithm == v1alpha1.BlobEncryptionKMS {
			out.Encryption.Algorithm = "aws:kms"
		}
	}
	if s.ObjectLock != nil && s.ObjectLock.Retention != nil {
		r := s.ObjectLock.Retention
		out.Retention = &planeconfig.BlobRetention{Mode: strings.ToUpper(string(r.Mode)), Days: int(r.Days)}
	}
	for _, r := range s.CORS {
		out.CORS = append(out.CORS, corsConfig(r))
	}
	if planes.Playground(b.Spec.Playground, in.Class) {
		out.CORS = append(out.CORS, pageRule)
	}
	return out
}

func corsConfig(r v1alpha1.BlobCORSRule) planeconfig.BlobCORS {
	out := planeconfig.BlobCORS{Name: r.Name, Origins: r.Origins, Headers: r.Headers, Expose: r.ExposeHeaders, MaxAge: planes.Duration(r.MaxAge)}
	for _, m := range r.Methods {
		out.Methods = append(out.Methods, string(m))
	}
	return out
}

// pageRule admits the page to try uploads, from wherever it is reached: what it sends is signed.
var pageRule = planeconfig.BlobCORS{
	Name: "playground", Origins: []string{"*"}, Methods: []string{"GET", "PUT", "POST"}, Headers: []string{"*"},
	Expose: []string{"ETag"}, MaxAge: planeconfig.Duration(time.Hour),
}

func ruleConfig(r *v1alpha1.BlobLifecycleRule) planeconfig.BlobRule {
	out := planeconfig.BlobRule{
		Name:             r.Name,
		Prefix:           r.Prefix,
		MinBytes:         planes.Bytes(r.MinSize),
		MaxBytes:         planes.Bytes(r.MaxSize),
		Expire:           planes.Duration(r.ExpireAfter),
		AbortIncomplete:  planes.Duration(r.AbortIncompleteAfter),
		ExpireNoncurrent: planes.Duration(r.ExpireNoncurrentAfter),
		KeepNoncurrent:   int(ptr.Deref(r.KeepNoncurrent, 0)),
	}
	for k, v := range r.Tags {
		if out.Tags == nil {
			out.Tags = map[string]string{}
		}
		out.Tags[k] = string(v)
	}
	for _, t := range r.Transitions {
		out.Transitions = append(out.Transitions, planeconfig.BlobTransition{After: planes.Duration(t.After), StorageClass: t.StorageClass})
	}
	return out
}
