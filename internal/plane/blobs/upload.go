package blobs

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

const (
	maxFilename, maxOwner = 255, 128
	// maxCompletion has room for the ETags of as many parts as a file can have.
	maxCompletion = 2 << 20
	typeBytes     = "application/octet-stream"
)

// hashBytes by the algorithm.
var hashBytes = map[blobs.Algorithm]int{blobs.SHA256: 32, blobs.CRC32C: 4}

type uploadInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"255" doc:"A key of your own: an upload begun again under the same key, with the same content, is the same upload."`
	Body blobs.NewUpload
}

type uploadOutput struct {
	Location     string `header:"Location"`
	Replayed     string `header:"Idempotent-Replayed"`
	CacheControl string `header:"Cache-Control"`
	Body         blobs.Upload
}

type idInput struct {
	ID string `path:"id" maxLength:"64"`
}

type resumeInput struct {
	ID    string `path:"id" maxLength:"64"`
	Again []int  `query:"again" maxItems:"64" doc:"Numbers of parts to send again though the store has them: those that were cut off, so that nothing was answered. Some stores keep what came of such a part, and say that it is whole."`
}

type completeInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body *blobs.Completion
}

type fileOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         blobs.File
}

func (b *Bucket) registerUploads() {
	huma.Register(b.plane.API, huma.Operation{
		OperationID: "begin-upload", Method: http.MethodPost, Path: "/v1/uploads", Summary: "Begin an upload", Tags: []string{"uploads"},
		Description: "Answers with the requests to send the bytes straight to the store, which refuses what is not as it was said here: one PUT, a form, or parts. " +
			"They are good for a while; GET of the upload gives fresh ones. The store's word counts: complete the upload when all is sent, or wait until the bucket finds out by itself.",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: 64 << 10, Errors: []int{400, 401, 403, 413, 415, 422, 429, 503, 507},
	}, b.begin)
	huma.Register(b.plane.API, huma.Operation{
		OperationID: "resume-upload", Method: http.MethodGet, Path: "/v1/uploads/{id}", Summary: "Look at an upload", Tags: []string{"uploads"},
		Description: "With what is missing of it, and fresh requests to send that.", Errors: []int{400, 401, 403, 404, 503},
	}, b.resume)
	change := func(verb, summary, description string) huma.Operation {
		return huma.Operation{
			OperationID: verb + "-upload", Method: http.MethodPost, Path: "/v1/uploads/{id}:" + verb, Summary: summary, Description: description,
			Tags: []string{"uploads"}, Errors: []int{400, 401, 403, 404, 409, 410, 503},
		}
	}
	complete := change("complete", "Complete an upload", "Asks the store whether it has the whole file. Again is no fault. "+
		"An upload in parts is completed with the ETag that the store answered for each part: some stores keep a part that was cut off, and list it as whole, "+
		"so that only the client knows what was sent. Parts that the store does not have as it is said here are refused as not-as-said; the problem's member again has their numbers, "+
		"up to 64 of them, to send again by ?again= of GET. Without ETags it is refused as parts-needed, unless the store is known to keep whole parts alone.")
	complete.MaxBodyBytes, complete.Errors = maxCompletion, append(complete.Errors, http.StatusRequestEntityTooLarge)
	huma.Register(b.plane.API, complete, b.complete)
	huma.Register(b.plane.API, change("abort", "Abort an upload", "What the store has of it is removed. Again is no fault."), b.abort)
}

func (b *Bucket) begin(ctx context.Context, in *uploadInput) (*uploadOutput, error) {
	owner, problem := viewer(ctx, plane.RightSubmit)
	if problem != nil {
		return nil, problem
	}
	l, now := b.live.Load(), b.now()
	if l.cfg.Emptying {
		return nil, plane.Fail(ctx, problemGoing())
	}
	if owner != nil {
		if in.Body.Owner != "" && in.Body.Owner != *owner {
			return nil, problemForbidden("full rights to upload for another owner")
		}
		in.Body.Owner = *owner
	}
	n, problem := l.newFile(in.Body, b.newID(), now)
	if problem != nil {
		return nil, problem
	}
	n.TraceParent = plane.TraceParent(ctx)
	if in.Key != "" {
		// Owners do not get at each other's by a key.
		n.IdempotencyKey, n.Digest = n.Owner+"\x1f"+in.Key, digest(in.Body)
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	e, existing, err := b.ledger.Begin(ctx, now, n, l.bounds())
	if err != nil {
		return nil, plane.Fail(ctx, b.problem("begin", err))
	}
	out := &uploadOutput{Location: "/v1/uploads/" + e.ID, CacheControl: "no-store"}
	if existing {
		out.Replayed = "true"
	} else {
		b.metrics.begun.Inc()
	}
	out.Body, err = b.requests(ctx, now, e, in.Body.Form, nil)
	if err != nil {
		return nil, plane.Fail(ctx, b.problem("begin", err))
	}
	return out, nil
}

// newFile checks an upload.
func (l *live) newFile(u blobs.NewUpload, id string, now time.Time) (NewFile, *plane.Problem) {
	f := &plane.Faults{At: "body"}
	f.Text("filename", u.Filename, maxFilename)
	f.Text("owner", u.Owner, maxOwner)
	f.MediaType("contentType", u.ContentType)
	f.Metadata("metadata", u.Metadata)
	if u.Filename == "" {
		f.Add("filename", "must be set: it is what a download is called")
	}
	if u.ContentType == "" {
		u.ContentType = typeBytes
	}
	if !l.allows(u.ContentType) {
		f.Add("contentType", "is not one that this bucket takes: %v", l.cfg.Uploads.ContentTypes)
	}
	if u.Size < 0 || u.Size > l.cfg.Uploads.MaxBytes {
		f.Add("size", "must be from 0 to %d bytes (uploads.maxBytes)", l.cfg.Uploads.MaxBytes)
	}
	multipart := u.Size > l.cfg.Uploads.PartSize
	l.checkSum(f, u, multipart)
	if multipart && u.Form {
		f.Add("form", "can send at most %d bytes (uploads.multipartPartSize): leave form out, and send parts", l.cfg.Uploads.PartSize)
	}
	if problem := f.Problem(); problem != nil {
		return NewFile{}, problem
	}
	pending := max(time.Duration(l.cfg.Uploads.PendingTimeout), time.Duration(l.cfg.Uploads.URLTTL))
	expires := now.Add(pending)
	n := NewFile{Multipart: multipart, Replaceable: !multipart && (u.Form || !l.cfg.Conditional), File: blobs.File{
		ID: id, Key: l.template.key(id, u.Owner, u.Filename, now), Filename: u.Filename, ContentType: u.ContentType, Size: u.Size,
		Checksum: u.Checksum, Owner: u.Owner, Metadata: u.Metadata, ExpiresAt: &expires,
	}}
	if multipart {
		n.PartSize = l.cfg.Uploads.PartSize
	}
	if len(n.Key) > maxKeyBytes {
		f.Add("owner", "makes the key of the object longer than %d bytes: use a shorter one", maxKeyBytes)
	}
	return n, f.Problem()
}

func (l *live) checkSum(f *plane.Faults, u blobs.NewUpload, multipart bool) {
	wanted := blobs.Algorithm(l.cfg.Uploads.Checksum)
	switch {
	case u.Checksum == nil && wanted != "" && !multipart:
		f.Add("checksum", "must be set, of algorithm %s (uploads.checksum)", wanted)
	case u.Checksum == nil:
	case multipart:
		f.Add("checksum", "of a whole file can not be compared by the store where it comes in parts (more than %d bytes): leave it out", l.cfg.Uploads.PartSize)
	case hashBytes[u.Checksum.Algorithm] == 0:
		f.Add("checksum.algorithm", "must be SHA256 or CRC32C")
	case wanted != "" && u.Checksum.Algorithm != wanted:
		f.Add("checksum.algorithm", "must be %s (uploads.checksum)", wanted)
	default:
		if sum, err := base64.StdEncoding.DecodeString(u.Checksum.Value); err != nil || len(sum) != hashBytes[u.Checksum.Algorithm] {
			f.Add("checksum.value", "must be %d bytes in base64", hashBytes[u.Checksum.Algorithm])
		}
	}
}

// digest says what an idempotency key stands for.
func digest(u blobs.NewUpload) []byte {
	text, err := json.Marshal(u)
	if err != nil {
		// Strings and numbers can always be encoded.
		panic(err)
	}
	sum := sha256.Sum256(text)
	return sum[:]
}

// requests are the upload with what is to be sent yet, and again.
func (b *Bucket) requests(ctx context.Context, now time.Time, e Entry, form bool, again []int) (out blobs.Upload, err error) {
	out.File = e.File
	if e.Status != blobs.StatusPending {
		return out, nil
	}
	ttl := b.ttl(now, e)
	until := now.Add(ttl)
	out.URLsExpireAt = &until
	put := Put{Key: e.Key, Size: e.Size, ContentType: e.ContentType, Checksum: e.Checksum, Lock: b.lock(until)}
	switch {
	case e.Multipart:
		return b.missing(ctx, now, e, out, ttl, again)
	case form:
		signed, err := b.objects.SignForm(ctx, now, put, ttl)
		out.Form = &signed
		return out, err
	default:
		signed, err := b.objects.SignPut(ctx, now, put, ttl)
		out.Put = &signed
		return out, err
	}
}

// ttl of a request: none is good for longer than its file may be pending.
func (b *Bucket) ttl(now time.Time, e Entry) time.Duration {
	ttl := time.Duration(b.live.Load().cfg.Uploads.URLTTL)
	if left := e.ExpiresAt.Sub(now); left < ttl {
		ttl = max(left, time.Second)
	}
	return ttl
}

func (b *Bucket) resume(ctx context.Context, in *resumeInput) (*uploadOutput, error) {
	e, problem := b.see(ctx, in.ID, plane.RightSubmit)
	if problem != nil {
		return nil, plane.Fail(ctx, problem)
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	e, err := b.cleared(ctx, e)
	if err != nil {
		return nil, plane.Fail(ctx, b.problem("resume", err))
	}
	body, err := b.requests(ctx, b.now(), e, false, in.Again)
	if err != nil {
		return nil, plane.Fail(ctx, b.problem("resume", err))
	}
	return &uploadOutput{CacheControl: "no-store", Body: body}, nil
}

// cleared is a file that can be sent, once more if need be, or that is found to be uploaded. Where the store kept what came of
// an upload that broke off, as some do, the file leaves it behind: its key can not be written again.
func (b *Bucket) cleared(ctx context.Context, e Entry) (Entry, error) {
	if e.Status != blobs.StatusPending || e.Multipart {
		return e, nil
	}
	var out Entry
	o, err := b.objects.Head(ctx, e.Key)
	switch {
	case errors.Is(err, ErrNoObject):
		return e, nil
	case err != nil:
		return e, err
	case matches(e, o):
		out, err = b.collect.arrived(ctx, b.now(), e, o)
	default:
		out, err = b.ledger.Rekey(ctx, b.now(), e.ID, e.Key, numbered(e.Key, e))
	}
	if errors.Is(err, ErrState) {
		return b.ledger.Get(ctx, e.ID) // Somebody else was faster.
	}
	return out, err
}

func (b *Bucket) complete(ctx context.Context, in *completeInput) (*fileOutput, error) {
	e, problem := b.see(ctx, in.ID, plane.RightSubmit)
	if problem != nil {
		return nil, plane.Fail(ctx, problem)
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	stored := int64(0)
	if e.Status == blobs.StatusPending && e.UploadID != "" {
		var sent []blobs.SentPart
		if in.Body != nil {
			sent = in.Body.Parts
		}
		if stored, problem = b.finish(ctx, e, sent); problem != nil {
			return nil, plane.Fail(ctx, problem)
		}
	}
	if e.Status == blobs.StatusPending || e.Status == blobs.StatusExpired {
		var err error
		if e, err = b.collect.Settle(ctx, b.now(), e, false); err != nil {
			return nil, plane.Fail(ctx, b.problem("complete", err))
		}
	}
	switch e.Status {
	case blobs.StatusUploaded:
		return &fileOutput{CacheControl: "no-store", Body: e.File}, nil
	case blobs.StatusPending:
		return nil, problemIncomplete(e, stored)
	default:
		return nil, problemGone(e)
	}
}

func (b *Bucket) abort(ctx context.Context, in *idInput) (*fileOutput, error) {
	e, problem := b.see(ctx, in.ID, plane.RightSubmit)
	if problem != nil {
		return nil, plane.Fail(ctx, problem)
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	e, err := b.ledger.End(ctx, b.now(), e.ID, blobs.StatusDeleted, "aborted", blobs.StatusPending, blobs.StatusExpired)
	if err != nil {
		return nil, plane.Fail(ctx, b.problem("abort", err))
	}
	return &fileOutput{CacheControl: "no-store", Body: e.File}, nil
}
