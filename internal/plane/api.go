package plane

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
)

// useProblems makes the typed layer report our problem documents. Its hook is
// global to the process, which serves one contract.
var useProblems = sync.OnceFunc(func() {
	huma.NewError = fromStatus
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		out := fromStatus(status, msg, errs...)
		noteCause(ctx.Context(), errors.Unwrap(out))
		return out
	}
})

const apiDescription = `Every request needs a token: ` + "`Authorization: Bearer`" + ` with the binding's token, or with a
client token (a JWT from POST /v1/tokens or from the configured issuer). Where headers cannot be set, a client token may
be sent as ` + "`?access_token=`" + `. Errors are RFC 9457 problem documents. With 429 and 503 comes Retry-After.`

// Encoded is a body that writes itself as JSON: for what is encoded already, and
// that encoding/json would check and compact byte by byte.
type Encoded interface {
	AppendJSON(dst []byte) []byte
}

var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		if e, ok := v.(Encoded); ok {
			_, err := w.Write(append(e.AppendJSON(nil), '\n'))
			return err
		}
		return huma.DefaultJSONFormat.Marshal(w, v)
	},
	Unmarshal: huma.DefaultJSONFormat.Unmarshal,
}

// newAPI makes the typed layer on router.
func newAPI(router chi.Router, title, version string) huma.API {
	useProblems()
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	cfg := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: title, Version: version, Description: apiDescription},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer":      {Type: "http", Scheme: "bearer", Description: "The binding's token, or a client token."},
					"accessToken": {Type: "apiKey", In: "query", Name: tokenParam, Description: "A client token, where headers cannot be set."},
				},
			},
			Security: []map[string][]string{{"bearer": {}}, {"accessToken": {}}},
		},
		Formats:                      map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
	return humachi.New(router, cfg)
}

// Fail makes what a typed handler returns of err: problems stay what they are,
// anything else becomes an internal problem whose cause goes to the log only.
func Fail(ctx context.Context, err error) error {
	var p *Problem
	if errors.As(err, &p) {
		noteCause(ctx, p.cause)
		return p
	}
	noteCause(ctx, err)
	return fromStatus(http.StatusInternalServerError, "", err)
}

// WriteError answers with err as a typed handler that returns it does.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	err = Fail(r.Context(), err)
	var p *Problem
	if !errors.As(err, &p) {
		p = fromStatus(http.StatusInternalServerError, "", err).(*Problem)
	}
	WriteProblem(w, p)
}

func (p *Plane) openAPI(w http.ResponseWriter, r *http.Request) {
	out, err := json.Marshal(p.API.OpenAPI())
	if err != nil {
		writeRequestProblem(w, r, fromStatus(http.StatusInternalServerError, "", err).(*Problem))
		return
	}
	w.Header().Set("Content-Type", "application/openapi+json")
	w.Header().Set("Cache-Control", "private, max-age=60")
	_, _ = w.Write(out)
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	WriteProblem(w, NewProblem(http.StatusNotFound, "not-found", "There is nothing at this path",
		"see /docs or /openapi.json for the paths that there are"))
}

func methodNotAllowed(w http.ResponseWriter, _ *http.Request) {
	WriteProblem(w, NewProblem(http.StatusMethodNotAllowed, "method-not-allowed", "This path has no such method",
		"see /docs or /openapi.json for the methods of this path"))
}
