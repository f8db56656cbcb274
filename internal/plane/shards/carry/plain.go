package carry

import (
	"bufio"
	"io"
	"net/http"

	"github.com/trellis-dev/trellis/internal/plane/httphead"
)

// plainReply is what an answer needs that is read by plainHead, in one piece.
type plainReply struct {
	Reply
	response http.Response
	body     fixedBody
}

// plainHead reads the head of an answer that is plain, and here as a whole. It returns nil, and has read nothing, where it
// is not: net/http reads it then.
func (c *Conn) plainHead(in *http.Request) *Reply {
	if in.Method == http.MethodHead {
		return nil
	}
	buffered, _ := c.Reader.Peek(c.Reader.Buffered())
	y := &plainReply{}
	n := httphead.Response(buffered, &y.response)
	if n == 0 {
		return nil
	}
	_, _ = c.Reader.Discard(n)
	y.response.Request = in
	y.response.Body = http.NoBody
	if y.response.ContentLength > 0 {
		y.body = fixedBody{c.Reader, y.response.ContentLength}
		y.response.Body = &y.body
	}
	y.Response, y.Conn = &y.response, c
	return &y.Reply
}

// fixedBody is as long as was said.
type fixedBody struct {
	r    *bufio.Reader
	left int64
}

// Read implements io.Reader.
func (f *fixedBody) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	switch {
	case f.left == 0:
		err = io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close implements io.Closer.
func (f *fixedBody) Close() error { return nil }
