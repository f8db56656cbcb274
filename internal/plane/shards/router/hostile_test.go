package router

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// raw sends what no client of net/http would, and returns the answers until the connection ends or goes quiet.
func (c *cluster) raw(text string, answers int) []*http.Response {
	c.t.Helper()
	conn := c.connect()
	if _, err := io.WriteString(conn, text); err != nil {
		c.t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	var out []*http.Response
	for range answers {
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			c.t.Fatalf("answer %d to %q: %v", len(out)+1, text, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			c.t.Fatal(err)
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		out = append(out, resp)
	}
	return out
}

func (c *cluster) connect() net.Conn {
	c.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.replica.URL, "http://"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestWhatAClientForgesDoesNotArrive has headers that are the router's own, or for the next party alone, go nowhere.
func TestWhatAClientForgesDoesNotArrive(t *testing.T) {
	c := start(t, options{})
	got := c.raw("GET /x HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nX-Hop: 1\r\nConnection: X-Hop, Trellis-Partition, keep-alive\r\nKeep-Alive: 1\r\nProxy-Authorization: x\r\n"+
		"Trellis-Partition: 99\r\ntrellis-epoch: 99\r\nTrellis-Member-Token: forged\r\nTrellis-Not-Processed: true\r\nTrellis_Partition: 99\r\nTRELLIS_MEMBER_TOKEN: forged\r\n\r\n", 1)[0]
	if got.StatusCode != http.StatusOK {
		t.Fatalf("%d", got.StatusCode)
	}
	for _, name := range []string{"X-Hop", "Keep-Alive", "Connection", "Proxy-Authorization", "Trellis-Not-Processed", "Trellis_partition", "Trellis_member_token"} {
		if values := got.Header.Values("Saw-" + name); len(values) > 0 {
			t.Errorf("the shard saw %s: %q", name, values)
		}
	}
	c.noStrays()
}

// TestARequestIsOne: where two parties might see two requests in what is one, or one in what is two.
func TestARequestIsOne(t *testing.T) {
	c := start(t, options{})
	for name, x := range map[string]struct {
		text string
		want []int
		body string
	}{
		"a length beside chunks": {"POST /x HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\nX-Key: k\r\n\r\n",
			[]int{200, 200}, "hello"},
		"two lengths":           {"POST /x HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nhello", []int{400}, ""},
		"chunks of two kinds":   {"POST /x HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", []int{501}, ""},
		"chunks, hidden":        {"POST /x HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", []int{400}, ""},
		"a header in two lines": {"GET /x HTTP/1.1\r\nHost: a\r\nX-Key: k\r\n  more\r\n\r\n", []int{200}, ""},
		"no host":               {"GET /x HTTP/1.1\r\nX-Key: k\r\n\r\n", []int{400}, ""},
		"a name with a blank":   {"GET /x HTTP/1.1\r\nHost: a\r\nX-Key : k\r\n\r\n", []int{400}, ""},
		"a tunnel":              {"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", []int{405}, ""},
		"headers without end":   {"GET /x HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nX-Big: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", []int{431}, ""},
		"HTTP/2 by upgrade": {"GET /x HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
			[]int{200}, ""},
		"an absolute target":              {"GET http://b/x HTTP/1.1\r\nHost: a\r\nX-Key: k\r\n\r\n", []int{200}, ""},
		"a member's, absolute":            {"POST http://b/.trellis/v1/partitions/1:drop HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nContent-Length: 0\r\n\r\n", []int{401}, ""},
		"a member's, absolute and //":     {"POST http://b//.trellis/v1/partitions/1:drop HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nContent-Length: 0\r\n\r\n", []int{404}, ""},
		"a member's, encoded":             {"POST //%2etrellis%2fv1/partitions/1:drop HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nContent-Length: 0\r\n\r\n", []int{404}, ""},
		"a member's, as an opaque target": {"POST x:.trellis/v1/partitions/1:drop HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nContent-Length: 0\r\n\r\n", []int{400}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for i, resp := range c.raw(x.text, len(x.want)) {
				body, _ := io.ReadAll(resp.Body)
				if resp.StatusCode != x.want[i] || i == 0 && x.body != "" && string(body) != x.body {
					t.Errorf("answer %d: %d %s", i+1, resp.StatusCode, body)
				}
			}
		})
	}
	c.noStrays()
}

// TestNoRequestLineIsMadeUp by what HTTP/2 lets a client say in the place of a method or a path.
func TestNoRequestLineIsMadeUp(t *testing.T) {
	c := start(t, options{})
	for name, x := range map[string]struct{ method, path, status, target string }{
		"as it should be":      {"GET", "/x", "200", "GET /x"},
		"a path with a blank":  {"GET", "/x HTTP/1.1", "400", ""},
		"a method with a path": {"GET /y HTTP/1.1", "/x", "400", ""},
	} {
		status, target := c.overHTTP2(x.method, x.path)
		if status != x.status || target != x.target {
			t.Errorf("%s: %s, the shard saw %q", name, status, target)
		}
	}
	c.noStrays()
}

// overHTTP2 asks frame by frame, and returns the status and what the shard saw.
func (c *cluster) overHTTP2(method, path string) (status, target string) {
	c.t.Helper()
	conn := c.connect()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", method}, {":scheme", "http"}, {":authority", "a"}, {":path", path}, {"x-key", "k"}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			c.t.Fatal(err)
		}
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err := io.WriteString(conn, http2.ClientPreface)
	if err == nil {
		err = framer.WriteSettings()
	}
	if err == nil {
		err = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	}
	for err == nil {
		var frame http2.Frame
		if frame, err = framer.ReadFrame(); err != nil {
			break
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, f := range frame.RegularFields() {
				if f.Name == "target" {
					target = f.Value
				}
			}
			return frame.PseudoValue("status"), target
		case *http2.RSTStreamFrame:
			return frame.ErrCode.String(), ""
		}
	}
	c.t.Fatal(err)
	return "", ""
}

// TestABodyThatMayBeThatLongIsRead, though nobody said how long it is.
func TestABodyThatMayBeThatLongIsRead(t *testing.T) {
	c := start(t, options{change: func(cfg *planeconfig.Config) {
		cfg.Shards.Key = planeconfig.ShardKey{JSONBody: "/id", MaxBodyBytes: 64 << 20}
	}})
	resp, text := c.ask(http.MethodPost, "/", "", io.LimitReader(strings.NewReader(`{"id":"a"}`), 100), "Content-Type: application/json")
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}
