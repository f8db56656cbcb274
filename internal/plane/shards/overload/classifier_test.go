package overload

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func TestClassifier(t *testing.T) {
	t.Parallel()
	classes := []string{"gold", "silver", "bronze"}
	header := planeconfig.ShardOverload{Classes: classes, PriorityHeader: "x-class", DefaultClass: "silver"}
	expression := planeconfig.ShardOverload{Classes: classes, PriorityExpression: `
		request.path.startsWith('/checkout') ? 'gold' :
		request.method == 'GET' && request.query[?'preview'] == optional.of('yes') ? 'bronze' :
		has(request.claims.plan) ? request.claims.plan : request.headers['x-class']`}
	for _, c := range []struct {
		what   string
		over   planeconfig.ShardOverload
		target string
		class  string
		claims map[string]any
		want   string
		failed bool
	}{
		{"none configured", planeconfig.ShardOverload{}, "/", "gold", nil, "default", false},
		{"header", header, "/", "gold", nil, "gold", false},
		{"header names no class", header, "/", "golden", nil, "silver", false},
		{"no header", header, "/", "", nil, "silver", false},
		{"path", expression, "/checkout/1", "", nil, "gold", false},
		{"query", expression, "/?preview=yes", "gold", nil, "bronze", false},
		{"claim", expression, "/", "gold", map[string]any{"plan": "silver"}, "silver", false},
		{"claim is no string", expression, "/", "", map[string]any{"plan": 3.0}, "bronze", true},
		{"header by expression", expression, "/", "silver", nil, "silver", false},
		{"can not be evaluated: the least important", expression, "/", "", nil, "bronze", true},
	} {
		failed := false
		classifier, err := NewClassifier(c.over, func(error) { failed = true })
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		r := httptest.NewRequest(http.MethodGet, c.target, nil)
		if c.class != "" {
			r.Header.Set("X-Class", c.class)
		}
		got := classifier.Name(classifier.Class(r, c.claims))
		if diff := cmp.Diff([]any{c.want, c.failed}, []any{got, failed}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
}

func TestClassifierIsRefused(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		"request.pth == '/'":       "undefined field 'pth': a request has method, path, query, headers and claims",
		"event.id":                 "what there is is called request",
		"1 + 1":                    "it is of the type int: write one that gives a string",
		"request.method == 'GET'":  "it is of the type bool",
		"request.path ==":          "column",
		strings.Repeat("(", 10000): "",
	} {
		_, err := NewClassifier(planeconfig.ShardOverload{PriorityExpression: expression}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v", expression, err)
		}
	}
	_, err := NewClassifier(planeconfig.ShardOverload{Classes: []string{"gold"}, DefaultClass: "silver"}, nil)
	if err == nil || !strings.Contains(err.Error(), "name one of gold") {
		t.Errorf("unknown default: %v", err)
	}
}

// A client can not have the router evaluate for long.
func TestClassifierIsCheap(t *testing.T) {
	t.Parallel()
	var failed error
	c, err := NewClassifier(planeconfig.ShardOverload{
		PriorityExpression: `request.headers.all(a, request.headers.all(b, request.headers.all(c, a + b + c != ''))) ? 'a' : 'b'`,
	}, func(err error) { failed = err })
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for i := range 100 {
		r.Header.Set("X-"+strings.Repeat("a", i+1), "b")
	}
	c.Class(r, nil)
	if failed == nil || !strings.Contains(failed.Error(), "cost limit") {
		t.Errorf("a million steps: %v", failed)
	}
}
