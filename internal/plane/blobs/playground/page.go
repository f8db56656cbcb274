// Package playground is the page on which uploads are tried by hand. It has no outside assets, and uses the contract as any
// client does. It imports the standard library only.
package playground

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// Path of the page, and Assets that what belongs to it is below.
const (
	Path   = "/"
	Assets = "/playground/"
	// settingsFile is made when it is asked for; all other assets are files.
	settingsFile = "settings.json"
)

//go:embed page.html page.css *.js
var files embed.FS

var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".json": "application/json",
}

// Settings are what the page has to know of the bucket before it asks for an upload. All of it is told to clients anyway.
type Settings struct {
	// Checksum that an upload of up to PartBytes has to say: SHA256, CRC32C or, empty, none.
	Checksum string `json:"checksum"`
	// PartBytes is the most that is sent by one request.
	PartBytes int64 `json:"partBytes"`
	// MaxBytes of a file.
	MaxBytes int64 `json:"maxBytes"`
	// ContentTypes are media types, or type/*; empty for all.
	ContentTypes []string `json:"contentTypes"`
}

// Page serves the page and its assets. It holds no secret, so it is served without a token.
type Page struct {
	policy   string
	settings func() Settings
}

// New returns the page of a bucket. store is the origin that files are sent to (scheme://host[:port]); settings are asked
// for whenever the page is loaded.
func New(store string, settings func() Settings) *Page {
	return &Page{policy: policy(store), settings: settings}
}

// policy lets the page run its own script, talk to its own host and to the store, and nothing else: no name of a file and
// no answer of the store can become markup or code.
func policy(store string) string {
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		strings.TrimSpace("connect-src 'self' " + store),
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types 'none'",
	}, "; ")
}

// Paths of everything that is served.
func (p *Page) Paths() []string {
	out := []string{Path, Assets + settingsFile}
	names, err := fs.Glob(files, "*")
	if err != nil {
		// The pattern is a valid one.
		panic(err)
	}
	for _, name := range names {
		if name != "page.html" {
			out = append(out, Assets+name)
		}
	}
	return out
}

// ServeHTTP implements http.Handler for Paths.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, name, err := p.content(r.URL.Path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mediaTypes[path.Ext(name)])
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Cache-Control", "no-cache")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(content)
}

func (p *Page) content(at string) (content []byte, name string, err error) {
	switch name = strings.TrimPrefix(at, Assets); name {
	case Path:
		name = "page.html"
	case settingsFile:
		content, err = json.Marshal(p.settings())
		return content, name, err
	}
	content, err = files.ReadFile(name)
	return content, name, err
}
