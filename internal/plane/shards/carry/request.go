package carry

import (
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// Field is a header that is added.
type Field struct{ Name, Value string }

// Request is a request as it is sent on, with all of its body. It can be sent again.
type Request struct {
	// In is the request as it came, with the headers that go on.
	In *http.Request
	// URI is the target, Upgrade the protocol that is asked for in the place of HTTP.
	URI, Upgrade string
	Body         []byte
	// Added are the headers for this server.
	Added []Field
	// Inform is called with an answer before the answer, such as 103; it may be nil.
	Inform func(*http.Response)
	// Within is how long the head of the answer may take; 0 is for ever.
	Within time.Duration
	// Holder is shown the connection before anything is sent on it; it may be nil.
	Holder Holder
	// Patience is for how long the answer is waited for when the client went away, as the server may be at work still.
	Patience time.Duration
}

// Holder of the connection of a request.
type Holder interface {
	// Hold is called with the connection that the request goes on next; where it fails, nothing is sent.
	Hold(net.Conn) error
}

// appendHead writes the request line and the headers. What the server took apart was found valid by it.
func (o *Request) appendHead(b []byte) []byte {
	b = append(b, o.In.Method...)
	b = append(b, ' ')
	b = append(b, o.URI...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = appendLine(b, "Host", o.In.Host)
	for name, values := range o.In.Header {
		for _, v := range values {
			b = appendLine(b, name, v)
		}
	}
	for _, f := range o.Added {
		b = appendLine(b, f.Name, f.Value)
	}
	if o.Upgrade != "" {
		b = appendLine(b, "Connection", "Upgrade")
		b = appendLine(b, "Upgrade", o.Upgrade)
	}
	if len(o.Body) > 0 || o.In.Method == http.MethodPost || o.In.Method == http.MethodPut || o.In.Method == http.MethodPatch {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(o.Body)), 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

func appendLine(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// Harmless reports whether doing a request twice is as good as once.
func Harmless(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return len(r.Header["Idempotency-Key"]) > 0
}

// URIOf is the target of a request in the form that goes to a server.
func URIOf(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

// hopHeaders are between two parties and go no further (RFC 9110, section 7.6.1).
var hopHeaders = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// DropHop takes off what is for the next party only.
func DropHop(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopHeaders {
		delete(h, name)
	}
}

// HasToken looks for a word in the lists of a header.
func HasToken(values []string, word string) bool {
	for _, v := range values {
		for token := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(token), word) {
				return true
			}
		}
	}
	return false
}

// DropForHop makes the headers of a request those that go on: what is written for the server itself, or is between two
// parties, is taken off.
func DropForHop(h http.Header) {
	trailers := HasToken(h["Te"], "trailers")
	DropHop(h)
	delete(h, "Content-Length")
	delete(h, "Expect")
	delete(h, "Host")
	if trailers {
		h["Te"] = []string{"trailers"}
	}
}
