package blobs

import (
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// maxSigned is the longest that a request signed by Version 4 is good for.
	maxSigned = 7 * 24 * time.Hour
	// Bounds of parts by S3: each but the last has 5 MiB to 5 GiB, and there are 10,000 at most.
	minPart, maxPart, maxParts = 5 << 20, 5 << 30, 10_000
)

// live is what of the configuration changes while the plane runs, ready for use.
type live struct {
	cfg      planeconfig.Blobs
	template template
	// cdn is nil without one.
	cdn    *url.URL
	ledger LedgerSettings
}

func newLive(cfg planeconfig.Blobs) (*live, error) {
	l := &live{cfg: cfg, template: template(cfg.Uploads.KeyTemplate), ledger: LedgerSettings{Sinks: map[string][]string{}}}
	if err := l.template.check(); err != nil {
		return nil, err
	}
	u := cfg.Uploads
	for _, c := range []struct {
		ok   bool
		says string
	}{
		{u.MaxBytes > 0, "uploads.maxBytes must be above 0"},
		{u.URLTTL > 0 && time.Duration(u.URLTTL) <= maxSigned, "uploads.urlTTL must be above 0 and at most 168h"},
		{u.PendingTimeout >= u.URLTTL, "uploads.pendingTimeout must be at least uploads.urlTTL"},
		{u.PartSize >= minPart && u.PartSize <= maxPart, "uploads.partSize must be from 5 MiB to 5 GiB"},
		{u.PartSize > 0 && u.MaxBytes <= u.PartSize*maxParts, "uploads.maxBytes is above 10,000 parts of uploads.partSize: raise partSize"},
		{u.Checksum == "" || algorithms[u.Checksum], "uploads.checksum must be SHA256, CRC32C or empty"},
		{u.OwnerUploads == 0 || u.OwnerWindow > 0, "uploads.ownerWindow must be above 0 where ownerUploads is"},
		{cfg.Downloads.URLTTL > 0 && time.Duration(cfg.Downloads.URLTTL) <= maxSigned, "downloads.urlTTL must be above 0 and at most 168h"},
		{cfg.Orphans.Every > 0 && cfg.Orphans.Grace > 0, "orphans.every and orphans.grace must be above 0"},
	} {
		if !c.ok {
			return nil, fmt.Errorf("blobs.%s", c.says)
		}
	}
	if base := cfg.Downloads.BaseURL; base != "" {
		var err error
		if l.cdn, err = url.Parse(base); err != nil || l.cdn.Host == "" {
			return nil, fmt.Errorf("blobs.downloads.baseURL %q must be a URL with a host", base)
		}
	}
	for _, s := range cfg.Sinks {
		l.ledger.Sinks[s.Name] = s.Types
	}
	return l, nil
}

var algorithms = map[string]bool{"SHA256": true, "CRC32C": true}

// allows reports whether files of the media type are taken.
func (l *live) allows(contentType string) bool {
	if len(l.cfg.Uploads.ContentTypes) == 0 {
		return true
	}
	plain, _, err := mime.ParseMediaType(contentType)
	return err == nil && slices.ContainsFunc(l.cfg.Uploads.ContentTypes, func(pattern string) bool {
		family, wild := strings.CutSuffix(pattern, "/*")
		return plain == pattern || wild && strings.HasPrefix(plain, family+"/")
	})
}

// bounds of an upload.
func (l *live) bounds() Bounds {
	u := l.cfg.Uploads
	return Bounds{OwnerBytes: u.OwnerBytes, OwnerUploads: u.OwnerUploads, OwnerWindow: time.Duration(u.OwnerWindow), BucketBytes: l.cfg.Quota}
}
