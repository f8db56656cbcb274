package blobs

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

type listInput struct {
	Owner  string `query:"owner" maxLength:"128" doc:"Only files of this owner; without full rights, one's own alone."`
	Status string `query:"status" enum:"pending,uploaded,expired,deleted" doc:"Only files of this status."`
	Prefix string `query:"prefix" maxLength:"1024" doc:"Only files whose keys begin with this."`
	Cursor string `query:"cursor" maxLength:"64" doc:"The member cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most files of a page."`
}

type listOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         blobs.Page
}

type downloadInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body *downloadBody
}

type downloadBody struct {
	Inline bool `json:"inline,omitempty" doc:"True for a browser to show it, rather than to save it."`
}

type downloadOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		blobs.Request
		// ExpiresAt is absent for a request that is not signed.
		ExpiresAt *time.Time `json:"expiresAt,omitempty" doc:"When the store refuses it."`
	}
}

type moveInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body struct {
		Prefix string `json:"prefix" maxLength:"256" doc:"What the key begins with from then on, such as archive/; its last part stays."`
	}
}

func (b *Bucket) registerFiles() {
	huma.Register(b.plane.API, huma.Operation{
		OperationID: "get-file", Method: http.MethodGet, Path: "/v1/files/{id}", Summary: "Look at a file", Tags: []string{"files"},
		Errors: []int{400, 401, 403, 404, 503},
	}, b.get)
	huma.Register(b.plane.API, huma.Operation{
		OperationID: "list-files", Method: http.MethodGet, Path: "/v1/files", Summary: "List files", Description: "The newest first.", Tags: []string{"files"},
		Errors: []int{400, 401, 403, 503},
	}, b.list)
	huma.Register(b.plane.API, huma.Operation{
		OperationID: "delete-file", Method: http.MethodDelete, Path: "/v1/files/{id}", Summary: "Delete a file", Tags: []string{"files"},
		Description: "Acknowledged when the ledger has it: the object is removed right after, however often that has to be tried. Again is no fault. One that the bucket keeps for a time is refused until then.",
		Errors:      []int{400, 401, 403, 404, 409, 503},
	}, b.remove)
	huma.Register(b.plane.API, huma.Operation{
		OperationID: "download-file", Method: http.MethodPost, Path: "/v1/files/{id}:download", Summary: "Fetch a file", Tags: []string{"files"},
		Description: "Answers with a request to the store, which takes Range.", MaxBodyBytes: 4 << 10, Errors: []int{400, 401, 403, 404, 409, 410, 415, 503},
	}, b.download)
	huma.Register(b.plane.API, huma.Operation{
		OperationID: "move-file", Method: http.MethodPost, Path: "/v1/files/{id}:move", Summary: "Move a file", Tags: []string{"files"},
		Description:   "Between prefixes, for which the bucket's lifecycle may have rules of their own; those count the file's age anew from the move. Acknowledged with 202 when the ledger has it; the object follows.",
		DefaultStatus: http.StatusAccepted, MaxBodyBytes: 4 << 10, Errors: []int{400, 401, 403, 404, 409, 413, 415, 503},
	}, b.move)
}

func (b *Bucket) get(ctx context.Context, in *idInput) (*fileOutput, error) {
	e, problem := b.see(ctx, in.ID, plane.RightRead)
	if problem != nil {
		return nil, plane.Fail(ctx, problem)
	}
	return &fileOutput{CacheControl: "private, no-cache", Body: e.File}, nil
}

func (b *Bucket) list(ctx context.Context, in *listInput) (*listOutput, error) {
	owner, problem := viewer(ctx, plane.RightRead)
	switch {
	case problem != nil:
		return nil, problem
	case owner == nil && in.Owner != "":
		owner = &in.Owner
	case owner != nil && in.Owner != "" && in.Owner != *owner:
		return nil, problemForbidden("full rights to see another owner's files")
	}
	f := &plane.Faults{At: "query"}
	f.Text("prefix", in.Prefix, maxKeyBytes)
	if problem := f.Problem(); problem != nil {
		return nil, problem
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	page, err := b.ledger.List(ctx, Filter{Owner: owner, Status: blobs.Status(in.Status), Prefix: in.Prefix}, in.Cursor, in.Limit)
	if err != nil {
		return nil, plane.Fail(ctx, b.problem("list", err))
	}
	return &listOutput{CacheControl: "private, no-cache", Body: page}, nil
}

func (b *Bucket) remove(ctx context.Context, in *idInput) (*fileOutput, error) {
	e, problem := b.see(ctx, in.ID, plane.RightManage)
	if problem != nil {
		return nil, plane.Fail(ctx, problem)
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	if problem := b.unlocked(ctx, e); problem != nil {
		return nil, plane.Fail(ctx, problem)
	}
	e, err := b.ledger.End(ctx, b.now(), e.ID, blobs.StatusDeleted, "deleted", blobs.StatusPending, blobs.StatusUploaded, blobs.StatusExpired)
	if err != nil {
		return nil, plane.Fail(ctx, b.problem("delete", err))
	}
	return &fileOutput{CacheControl: "no-store", Body: e.File}, nil
}

func (b *Bucket) download(ctx context.Context, in *downloadInput) (*downloadOutput, error) {
	e, problem := b.see(ctx, in.ID, plane.RightRead)
	if problem != nil {
		return nil, plane.Fail(ctx, problem)
	}
	if e.Status != blobs.StatusUploaded {
		return nil, problemGone(e)
	}
	l, now := b.live.Load(), b.now()
	out := &downloadOutput{CacheControl: "no-store"}
	if l.cdn != nil {
		out.Body.Request = blobs.Request{Method: http.MethodGet, URL: l.cdn.JoinPath(strings.Split(e.Key, "/")...).String()}
		return out, nil
	}
	ttl := time.Duration(l.cfg.Downloads.URLTTL)
	signed, err := b.objects.SignGet(ctx, now, Get{
		Key: e.Key, VersionID: e.VersionID, ContentType: e.ContentType, Disposition: disposition(e.Filename, in.Body != nil && in.Body.Inline),
	}, ttl)
	if err != nil {
		return nil, plane.Fail(ctx, b.problem("download", err))
	}
	until := now.Add(ttl)
	out.Body.Request, out.Body.ExpiresAt = signed, &until
	return out, nil
}

// disposition names a download (RFC 6266).
func disposition(filename string, inline bool) string {
	kind := "attachment"
	if inline {
		kind = "inline"
	}
	if text := mime.FormatMediaType(kind, map[string]string{"filename": filename}); text != "" {
		return text
	}
	return kind + "; filename*=utf-8''" + url.PathEscape(filename)
}

func (b *Bucket) move(ctx context.Context, in *moveInput) (*fileOutput, error) {
	e, problem := b.see(ctx, in.ID, plane.RightManage)
	if problem != nil {
		return nil, plane.Fail(ctx, problem)
	}
	key, problem := b.live.Load().moved(e, in.Body.Prefix)
	if problem != nil {
		return nil, problem
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	e, err := b.ledger.BeginMove(ctx, b.now(), e.ID, key)
	if err != nil {
		return nil, plane.Fail(ctx, b.problem("move", err))
	}
	if err := b.collect.move(ctx, b.now(), e); err != nil {
		b.log.Warn("a move is ended later", "file", e.ID, "error", err)
	} else if e, err = b.ledger.Get(ctx, e.ID); err != nil {
		return nil, plane.Fail(ctx, b.problem("move", err))
	}
	return &fileOutput{CacheControl: "no-store", Body: e.File}, nil
}

// moved is the key under another prefix. It stays among the keys that are the bucket's.
func (l *live) moved(e Entry, prefix string) (string, *plane.Problem) {
	last := e.Key[strings.LastIndexByte(e.Key, '/')+1:]
	key := prefix + last
	f := &plane.Faults{At: "body"}
	f.Text("prefix", prefix, maxKeyBytes)
	switch {
	case !strings.HasSuffix(prefix, "/") || !strings.HasPrefix(key, l.template.prefix()) || len(key) > maxKeyBytes:
		f.Add("prefix", "must begin with %q and end with /, and make a key of at most %d bytes", l.template.prefix(), maxKeyBytes)
	case template(prefix+"${id}").check() != nil:
		f.Add("prefix", "must be a plain path: without //, and without dots as parts")
	case !strings.Contains(last, e.ID):
		return "", plane.Invalid(fmt.Sprintf("the key %q does not have the file's id in its last part, so that it can not be moved: have keyTemplate end with ${id}${ext}", e.Key))
	}
	return key, f.Problem()
}
