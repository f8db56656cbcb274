package conformance

import (
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
)

// frame is a WebSocket frame: its first byte, and the payload, masked with zeros.
func frame(first byte, payload string) string {
	head := []byte{first}
	switch n := len(payload); {
	case n < 126:
		head = append(head, 0x80|byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 0x80|126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 0x80|127), uint64(n))
	}
	return string(head) + "\x00\x00\x00\x00" + payload
}

const (
	textFrame, binaryFrame, continuation, closeFrame, pingFrame = 0x81, 0x82, 0x80, 0x88, 0x89
	notFinal                                                    = 0x7f
	compressed                                                  = 0x40
)

// handshake upgrades, and asks for compression.
func (g *Target) handshake(t *testing.T, path string) *contracttest.Wire {
	t.Helper()
	w := g.Wire(t)
	if _, err := io.WriteString(w, g.Request("GET "+path+" HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Extensions: permessage-deflate")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(w.Reader, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%s: %v %+v", path, err, resp)
	}
	// Without compression there is nothing that could grow when it is unpacked.
	if got := resp.Header.Get("Sec-WebSocket-Extensions"); got != "" {
		t.Errorf("%s agrees to %q", path, got)
	}
	return w
}

// closed reads frames until the connection ends, and returns the close code, or
// 0 where there was none.
func closed(w *contracttest.Wire) int {
	for {
		var head [2]byte
		if _, err := io.ReadFull(w.Reader, head[:]); err != nil {
			return 0
		}
		size := int64(head[1] & 0x7f)
		switch size {
		case 126:
			var n uint16
			if binary.Read(w.Reader, binary.BigEndian, &n) != nil {
				return 0
			}
			size = int64(n)
		case 127:
			if binary.Read(w.Reader, binary.BigEndian, &size) != nil {
				return 0
			}
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(w.Reader, payload); err != nil {
			return 0
		}
		if head[0] == closeFrame && size >= 2 {
			return int(binary.BigEndian.Uint16(payload))
		}
	}
}

// testBadSockets breaks the rules of WebSocket on both paths that speak it. A
// connection ends with a code that says so, or just ends.
func testBadSockets(t *testing.T, start Factory) {
	target := start(t, Options{})
	for name, c := range map[string]struct {
		send  string
		codes []int
	}{
		"a frame without a mask":       {"\x81\x02{}", []int{1002, 0}},
		"a compressed frame":           {frame(textFrame|compressed, "{}"), []int{1002, 0}},
		"an opcode that is none":       {frame(0x83, "{}"), []int{1002, 0}},
		"a control frame that is long": {frame(pingFrame, strings.Repeat("x", 126)), []int{1002, 0}},
		"a control frame in parts":     {frame(pingFrame&notFinal, "x"), []int{1002, 0}},
		"a part of nothing":            {frame(continuation, "{}"), []int{1002, 0}},
		"two beginnings":               {frame(textFrame&notFinal, "{") + frame(textFrame, "}"), []int{1002, 0}},
		"a length beyond all memory":   {"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00" + strings.Repeat("{", 64<<10), []int{1009, 1002, 0}},
		"a length that is negative":    {"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00{", []int{1009, 1002, 0}},
		"parts without an end":         {frame(textFrame&notFinal, `{"type":"`) + strings.Repeat(frame(continuation&notFinal, strings.Repeat("x", 1000)), 100), []int{1009, 0}},
		"a frame beyond the limit":     {frame(textFrame, strings.Repeat("x", 1<<20)), []int{1009, 0}},
		"a close code that is none":    {frame(closeFrame, "\x00\x01"), []int{1002, 0}},
		"half of a close code":         {frame(closeFrame, "\x03"), []int{1002, 0}},
		"text that is not UTF-8":       {frame(textFrame, "{\"type\":\"\xff\"}"), []int{1007, 3501, 3500}},
		"no JSON":                      {frame(textFrame, "}{"), []int{3501}},
		"a frame of nothing":           {frame(textFrame, ""), []int{3501}},
		"binary":                       {frame(binaryFrame, "\x00\x01\x02"), []int{3501}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/v1/ws", "/connection/websocket"} {
				w := target.handshake(t, path)
				_, _ = io.WriteString(w, c.send)
				got := closed(w)
				found := false
				for _, code := range c.codes {
					found = found || got == code
				}
				if !found {
					t.Errorf("%s: closed with %d, want one of %v", path, got, c.codes)
				}
			}
		})
	}
	// Pings beyond number are answered or end the connection, and hold up nobody.
	w := target.handshake(t, "/v1/ws")
	go func() {
		_, _ = io.WriteString(w, strings.Repeat(frame(pingFrame, "x"), 20000)+frame(closeFrame, "\x03\xe8"))
	}()
	target.client(t).publish("a", "1")
	if code := closed(w); code != 1000 && code != 0 {
		t.Errorf("after a flood of pings: closed with %d", code)
	}
	eventually(t, "all sockets to be gone", func() bool {
		return target.connections(t, "websocket") == 0 && target.connections(t, "centrifuge") == 0
	})
}
