package plane

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"
)

func TestProblemDocument(t *testing.T) {
	secret := errors.New("password in the cause")
	p := NewProblem(http.StatusServiceUnavailable, "engine-unavailable", "No engine", "try again").
		After(1500*time.Millisecond).Because(secret).With("results", []int{1}).Header("X-Extra", "1")
	w := httptest.NewRecorder()
	WriteProblem(w, p)
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"type": ProblemBase + "engine-unavailable", "title": "No engine", "status": 503., "detail": "try again",
		"retryAfter": 2., "results": []any{1.},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
	headers := map[string]string{"Retry-After": "2", "X-Extra": "1", "Content-Type": "application/problem+json"}
	for name, value := range headers {
		if got := w.Header().Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if !errors.Is(p, secret) {
		t.Error("the cause is lost to the log")
	}
}

func TestProblemOfTheTypedLayer(t *testing.T) {
	detail := &huma.ErrorDetail{Location: "query.x", Message: "unknown", Value: "a secret"}
	for _, c := range []struct {
		status     int
		msg        string
		errs       []error
		wantStatus int
		wantSlug   string
		wantDetail string
	}{
		{422, "validation failed", []error{detail}, 400, "invalid-request", "query.x: unknown"},
		{400, "request body is required", nil, 400, "invalid-request", "request body is required"},
		{413, "request body is too large", nil, 413, "too-large", "request body is too large"},
		{500, brokenBody, nil, 400, "invalid-request", "the request's body could not be read to its end"},
		{500, "sql: secret", []error{errors.New("secret")}, 500, "internal", "The request could not be finished. Try again; if it stays so, look at the plane's log."},
		{415, "validation failed", []error{detail}, 415, "unsupported-media-type", "send the body as JSON, with Content-Type: application/json"},
	} {
		p := fromStatus(c.status, c.msg, c.errs...).(*Problem)
		got := []any{p.Status, p.Type, p.Detail}
		if diff := cmp.Diff([]any{c.wantStatus, ProblemBase + c.wantSlug, c.wantDetail}, got); diff != "" {
			t.Errorf("%d %q (-want +got):\n%s", c.status, c.msg, diff)
		}
		if body, _ := json.Marshal(p); json.Valid(body) && containsAny(string(body), "secret") {
			t.Errorf("%d %q shows a secret: %s", c.status, c.msg, body)
		}
	}
}
