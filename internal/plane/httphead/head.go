package httphead

import (
	"bytes"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

var end = []byte("\r\n\r\n")

// End is where the head that b begins with ends, behind its empty line; 0 where that is not there.
func End(b []byte) int {
	if i := bytes.Index(b, end); i >= 0 {
		return i + len(end)
	}
	return 0
}

// Response takes the head that b begins with apart, of an answer to a request of another method than HEAD, with a body of
// a length that it says, or with none. It returns how long the head is, or 0 where it is not plain. The body is left to
// the caller.
func Response(b []byte, to *http.Response) int {
	n := End(b)
	if n == 0 {
		return 0
	}
	// All names and values are parts of this one.
	line, lines, _ := strings.Cut(string(b[:n-2]), "\r\n")
	code, ok := statusOf(line)
	if !ok {
		return 0
	}
	h, ok := fields(lines)
	if !ok || h["Transfer-Encoding"] != nil || h["Trailer"] != nil || h["Pragma"] != nil {
		return 0
	}
	length, ok := lengthOf(h["Content-Length"])
	if !ok || length < 0 != (code == http.StatusNoContent) || code == http.StatusNotModified {
		return 0
	}
	if to.Close, ok = closes(h); !ok {
		return 0
	}
	if to.Close {
		// net/http has it so.
		delete(h, "Connection")
	}
	to.Status, to.StatusCode = line[len("HTTP/1.1 "):], code
	to.Proto, to.ProtoMajor, to.ProtoMinor = "HTTP/1.1", 1, 1
	to.Header, to.ContentLength = h, max(length, 0)
	return n
}

// Request takes the head that b begins with apart, of a request for a path, with a body of a length that it says, or with
// none, which asks for no other protocol and waits for nothing before its body. It returns how long the head is, or 0
// where it is not plain. The body is left to the caller.
func Request(b []byte, to *http.Request) int {
	n := End(b)
	if n == 0 {
		return 0
	}
	line, lines, _ := strings.Cut(string(b[:n-2]), "\r\n")
	method, target, ok := requestOf(line)
	if !ok {
		return 0
	}
	h, ok := fields(lines)
	if !ok || h["Transfer-Encoding"] != nil || h["Trailer"] != nil || h["Pragma"] != nil || h["Upgrade"] != nil || h["Expect"] != nil {
		return 0
	}
	host := h["Host"]
	length, ok := lengthOf(h["Content-Length"])
	if !ok || len(host) != 1 || !plainHost(host[0]) {
		return 0
	}
	if to.Close, ok = closes(h); !ok {
		return 0
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return 0
	}
	delete(h, "Host")
	to.Method, to.URL, to.RequestURI, to.Host = method, u, target, host[0]
	to.Proto, to.ProtoMajor, to.ProtoMinor = "HTTP/1.1", 1, 1
	to.Header, to.ContentLength = h, max(length, 0)
	return n
}

// methods that are plain.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodPatch, http.MethodOptions}

func requestOf(line string) (method, target string, ok bool) {
	line, ok = strings.CutSuffix(line, " HTTP/1.1")
	if !ok {
		return "", "", false
	}
	method, target, _ = strings.Cut(line, " ")
	if !strings.HasPrefix(target, "/") {
		return "", "", false
	}
	for _, c := range []byte(target) {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return "", "", false
		}
	}
	for _, m := range methods {
		if m == method {
			return method, target, true
		}
	}
	return "", "", false
}

func plainHost(host string) bool {
	for _, c := range []byte(host) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= ':' || c == '.' || c == '-' || c == '_' || c == '[' || c == ']') {
			return false
		}
	}
	return host != ""
}

// closes tells whether the connection ends with the message; not ok is what says something else about it.
func closes(h http.Header) (end, ok bool) {
	switch values := h["Connection"]; {
	case len(values) == 0 || len(values) == 1 && strings.EqualFold(values[0], "keep-alive"):
		return false, true
	case len(values) == 1 && strings.EqualFold(values[0], "close"):
		return true, true
	}
	return false, false
}

// statusOf a status line; answers before the answer are not plain.
func statusOf(line string) (code int, ok bool) {
	rest, ok := strings.CutPrefix(line, "HTTP/1.1 ")
	if !ok || len(rest) < 3 || len(rest) > 3 && rest[3] != ' ' || !plainValue(rest) {
		return 0, false
	}
	for _, c := range []byte(rest[:3]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		code = 10*code + int(c-'0')
	}
	return code, code >= http.StatusOK
}

// lengthOf a body as a header says it; -1 where it does not.
func lengthOf(values []string) (length int64, ok bool) {
	const most = 18
	if len(values) == 0 {
		return -1, true
	}
	text := values[0]
	if len(values) > 1 || text == "" || len(text) > most {
		return 0, false
	}
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		length = 10*length + int64(c-'0')
	}
	return length, true
}

// fields takes lines that each end with CRLF apart. It is false where one is no name, colon and value, or goes on in the
// next.
func fields(lines string) (http.Header, bool) {
	n := strings.Count(lines, "\n")
	h := make(http.Header, n)
	values := make([]string, 0, n)
	for lines != "" {
		var line string
		line, lines, _ = strings.Cut(lines, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		value = trim(value)
		if !ok || !plainValue(value) {
			return nil, false
		}
		if name, ok = canonical(name); !ok {
			return nil, false
		}
		if before := h[name]; before != nil {
			h[name] = append(before, value)
			continue
		}
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return h, true
}

// trim spaces and tabs off both ends.
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// canonical form of a header's name; false where it is none.
func canonical(name string) (string, bool) {
	if name == "" {
		return "", false
	}
	upper, as := true, true
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z':
			as = as && !upper
		case 'A' <= c && c <= 'Z':
			as = as && upper
		case !tokenByte[c]:
			return "", false
		}
		upper = c == '-'
	}
	if as {
		return name, true
	}
	return textproto.CanonicalMIMEHeaderKey(name), true
}

// Token reports whether s may be a header's name.
func Token(s string) bool {
	for i := range len(s) {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return s != ""
}

// tokenByte are the bytes of a token (RFC 9110, section 5.6.2).
var tokenByte = func() (is [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		is[c] = true
	}
	return is
}()

// plainValue has no control characters.
func plainValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
