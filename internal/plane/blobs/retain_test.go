package blobs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// locked wants the store to keep a file for the days of its bucket and so much longer, and the contract to say until when.
func (k *keeping) locked(what, id string, days int, least, most time.Duration) plane.Object {
	k.t.Helper()
	f := k.file(id)
	o, err := k.objects.Head(k.t.Context(), f.Key)
	if err != nil {
		k.t.Fatalf("%s: %v", what, err)
	}
	kept := o.Modified.AddDate(0, 0, days)
	if o.RetainedUntil.Before(kept.Add(least)) || o.RetainedUntil.After(kept.Add(most)) || o.RetentionMode != "COMPLIANCE" {
		k.t.Errorf("%s, written at %s, is kept until %s (%s)", what, o.Modified, o.RetainedUntil, o.RetentionMode)
	}
	if _, err := k.admin.DeleteObject(k.t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("files"), Key: aws.String(f.Key), VersionId: aws.String(o.VersionID)}); err == nil {
		k.t.Errorf("%s: the store removed its version", what)
	}
	r := blobs.Request{Method: http.MethodDelete, URL: k.base + "/v1/files/" + id, Headers: map[string]string{"Authorization": "Bearer " + k.token}}
	status, text, _ := k.send(r, "")
	if until := o.RetainedUntil.UTC().Format(time.RFC3339); status != http.StatusConflict || !strings.Contains(text, until) {
		k.t.Errorf("%s is kept until %s, and deleting it says %d %s", what, until, status, text)
	}
	if got := k.file(id).Status; got != blobs.StatusUploaded {
		k.t.Errorf("%s is %s", what, got)
	}
	return o
}

func (k *keeping) complete(id string) {
	k.t.Helper()
	k.call(http.StatusOK, http.MethodPost, "/v1/uploads/"+id+":complete", nil, nil)
}

// TestRetention is each file's own, whatever way it was uploaded, and says until when it can not be deleted.
func TestRetention(t *testing.T) {
	t.Parallel()
	const days = 2
	k := serveKeepingOn(t, enginetest.Store(t), func(c *planeconfig.Blobs) {
		c.Settings.Versioning, c.Settings.Retention = "Enabled", &planeconfig.BlobRetention{Mode: "COMPLIANCE", Days: days}
	})
	contracttest.Eventually(t, "the retention to be set", func() bool {
		return k.says(planeconfig.MetricBlobSetting, `setting="retention"`, `state="trellis"`, " 1")
	})
	// An hour is how long an upload may be pending here, a minute how long its URLs are good for. What was locked by what is signed
	// is locked for longer than what was afterwards.
	const signed, byURL, byFile = 5 * time.Minute, time.Minute + 16*time.Minute, time.Hour + 16*time.Minute

	one := k.begin(blobs.NewUpload{Filename: "a", Size: 5, Checksum: sum("hello")})
	k.put(one.Put, "hello")
	k.complete(one.ID)
	before := k.locked("a file", one.ID, days, signed, byURL)

	form := k.begin(blobs.NewUpload{Filename: "a", Size: 5, Checksum: sum("hello"), Form: true})
	k.post(form.Form, "hello")
	k.complete(form.ID)
	k.locked("a form's", form.ID, days, 0, byURL)

	body := strings.Repeat("0123456789abcdef", 6*mebi/16)
	parts := k.begin(blobs.NewUpload{Filename: "a", Size: 6 * mebi})
	var sent blobs.Completion
	for _, p := range parts.Parts {
		sent.Parts = append(sent.Parts, blobs.SentPart{Number: p.Number, ETag: k.put(&p.Request, body[p.Offset:p.Offset+p.Size])})
	}
	k.call(http.StatusOK, http.MethodPost, "/v1/uploads/"+parts.ID+":complete", sent, nil)
	k.locked("one of parts", parts.ID, days, time.Hour/2, byFile)

	k.call(http.StatusAccepted, http.MethodPost, "/v1/files/"+one.ID+":move", map[string]any{"prefix": "in/archive/"}, nil)
	contracttest.Eventually(t, "the move", func() bool { return strings.HasPrefix(k.file(one.ID).Key, "in/archive/") })
	if after := k.locked("a moved file", one.ID, days, 0, byURL); !after.RetainedUntil.Equal(before.RetainedUntil) {
		t.Errorf("the move made %s of %s", after.RetainedUntil, before.RetainedUntil)
	}

	// The days are raised while an upload is under way.
	late := k.begin(blobs.NewUpload{Filename: "a", Size: 5, Checksum: sum("hello")})
	k.put(late.Put, "hello")
	k.Reconfigure(t, func(c *planeconfig.Config) { c.Blobs.Settings.Retention.Days = days + 1 })
	contracttest.Eventually(t, "the plane to know", func() bool { return k.says(planeconfig.MetricBlobDrift, `setting="retention"`, " 2") })
	k.complete(late.ID)
	k.locked("one with more days", late.ID, days+1, 0, time.Minute)

	k.Reconfigure(t, func(c *planeconfig.Config) { c.Blobs.Settings.Retention = nil })
	contracttest.Eventually(t, "the plane to know", func() bool { return !k.says(planeconfig.MetricBlobSetting, `setting="retention"`) })
	k.call(http.StatusOK, http.MethodDelete, "/v1/files/"+one.ID, nil, nil)
}

// unkept is a store that locks nothing afterwards.
type unkept struct{ plane.Objects }

var errUnkept = errors.New("no locks today")

func (unkept) Retain(context.Context, string, string, plane.Lock) error {
	return fmt.Errorf("lock an object: %w", errUnkept)
}

// TestWhatIsNotLocked is not uploaded either.
func TestWhatIsNotLocked(t *testing.T) {
	t.Parallel()
	r := newRuled(t, true)
	r.Retention = func() *planeconfig.BlobRetention { return &planeconfig.BlobRetention{Mode: "GOVERNANCE", Days: 1} }
	e := r.begin()
	r.put(e.Key, "x")
	store := r.Objects
	r.Objects = unkept{store}
	if _, err := r.Settle(t.Context(), r.began, e, false); !errors.Is(err, errUnkept) {
		t.Errorf("%v", err)
	}
	r.is(e, blobs.StatusPending, "")
	r.Objects = store
	if got, err := r.Settle(t.Context(), r.began, e, false); err != nil || got.Status != blobs.StatusUploaded {
		t.Errorf("%+v, %v", got, err)
	}
	if o, err := r.Objects.Head(t.Context(), e.Key); err != nil || o.RetainedUntil.Before(o.Modified.AddDate(0, 0, 1)) {
		t.Errorf("%+v, %v", o, err)
	}
}
