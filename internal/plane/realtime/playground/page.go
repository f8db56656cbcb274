// Package playground is the page on which rooms are tried by hand. It is one
// document without outside assets, and uses the contract as any client does.
// It imports the standard library only.
package playground

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strings"
)

// Path of the page.
const Path = "/"

var (
	//go:embed page.html
	document string
	//go:embed page.css
	style string
	//go:embed page.js
	script string
)

// page is the document with its style and script inside.
var page = []byte(strings.NewReplacer("<style></style>", "<style>"+style+"</style>", "<script></script>", "<script>"+script+"</script>").Replace(document))

// policy lets the page run its own script and talk to its own host, and nothing
// else: no text that a message brings can become markup or code.
var policy = strings.Join([]string{
	"default-src 'none'",
	"script-src '" + hash(script) + "'",
	"style-src '" + hash(style) + "'",
	"connect-src 'self'",
	"base-uri 'none'",
	"form-action 'none'",
	"frame-ancestors 'none'",
	"require-trusted-types-for 'script'",
	"trusted-types 'none'",
}, "; ")

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Serve writes the page. It holds no secret, so it is served without a token.
func Serve(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-cache")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(page)
}
