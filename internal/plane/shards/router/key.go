package router

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Bounds of a key and of the body that it is looked for in, where none are configured.
const (
	defaultKeyBytes  = 1024
	defaultBodyBytes = 1 << 20
)

// extractor finds the key of a request.
type extractor struct {
	cfg      planeconfig.ShardKey
	path     pathPattern
	pointer  []string
	most     int
	mostBody int64
}

func newExtractor(cfg planeconfig.ShardKey) (*extractor, error) {
	e := &extractor{cfg: cfg, most: cfg.MaxBytes, mostBody: cfg.MaxBodyBytes}
	if e.most <= 0 {
		e.most = defaultKeyBytes
	}
	if e.mostBody <= 0 {
		e.mostBody = defaultBodyBytes
	}
	var err error
	if cfg.Path != "" {
		e.path, err = parsePathPattern(cfg.Path)
	}
	if cfg.JSONBody != "" {
		e.pointer, err = parsePointer(cfg.JSONBody)
	}
	e.cfg.Header = http.CanonicalHeaderKey(cfg.Header)
	return e, err
}

// inBody reports whether the body is needed to find the key.
func (e *extractor) inBody() bool { return e.pointer != nil }

// where says in a user's words where the key is to be.
func (e *extractor) where() string {
	switch c := e.cfg; {
	case c.Header != "":
		return "the header " + c.Header
	case c.Query != "":
		return "the query parameter " + c.Query
	case c.Cookie != "":
		return "the cookie " + c.Cookie
	case c.Path != "":
		return "the path, as " + c.Path
	case c.JWTClaim != "":
		return "the claim " + c.JWTClaim + " of the bearer token"
	default:
		return "the JSON body, at " + e.cfg.JSONBody
	}
}

// ofRequest is the key where it is in no body. token is the bearer token, verified.
func (e *extractor) ofRequest(r *http.Request, token string) (string, *plane.Problem) {
	switch c := e.cfg; {
	case c.Header != "":
		return e.one(r.Header[c.Header])
	case c.Query != "":
		return e.ofQuery(r.URL.RawQuery)
	case c.Cookie != "":
		return e.ofCookies(r.CookiesNamed(c.Cookie))
	case c.Path != "":
		if dotted(r.URL.Path) {
			return "", problemDotted()
		}
		return e.checked(e.path.key(r.URL))
	default:
		return e.ofClaim(token)
	}
}

// one is the only one of the values: they may be several, if they are the same.
func (e *extractor) one(values []string) (string, *plane.Problem) {
	if len(values) == 0 {
		return "", e.problemNone()
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return "", e.problemTwo()
		}
	}
	return e.checked(values[0])
}

func (e *extractor) checked(key string) (string, *plane.Problem) {
	switch {
	case key == "":
		return "", e.problemNone()
	case len(key) > e.most:
		return "", e.problemLong()
	}
	return key, nil
}

// ofQuery goes through a query without making a map of it.
func (e *extractor) ofQuery(query string) (string, *plane.Problem) {
	found, key := false, ""
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		if name != e.cfg.Query {
			plain, err := url.QueryUnescape(name)
			if err != nil || plain != e.cfg.Query {
				continue
			}
		}
		value, err := url.QueryUnescape(value)
		if err != nil || strings.Contains(pair, ";") {
			return "", e.problemUnclear("it is not encoded as a query is")
		}
		if found && value != key {
			return "", e.problemTwo()
		}
		found, key = true, value
	}
	return e.checked(key)
}

func (e *extractor) ofCookies(cookies []*http.Cookie) (string, *plane.Problem) {
	values := make([]string, len(cookies))
	for i, c := range cookies {
		values[i] = c.Value
	}
	return e.one(values)
}

// dotted reports whether a path has segments that some servers take as others than they are.
func dotted(path string) bool {
	if !strings.Contains(path, "/.") {
		return false
	}
	for rest := path; rest != ""; {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
