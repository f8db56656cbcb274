package load

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
)

// WebSocket opcodes (RFC 6455, section 5.2).
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xa
)

var errClosed = errors.New("the server closed the connection")

// maskedFrame is a client's frame; its mask is zero.
func maskedFrame(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	return append(append(dst, 0, 0, 0, 0), payload...)
}

// frameReader takes frames apart as they come. It begins small, as an idle
// connection's.
type frameReader struct {
	conn   net.Conn
	buf    []byte
	filled int
}

// next calls text for each text frame of one read, and answers pings.
func (r *frameReader) next(text func([]byte) error) error {
	if r.filled == len(r.buf) {
		r.buf = append(r.buf, make([]byte, max(512, len(r.buf)))...)
	}
	n, err := r.conn.Read(r.buf[r.filled:])
	if n == 0 && err != nil {
		return err
	}
	r.filled += n
	rest := r.buf[:r.filled]
	for {
		op, payload, length := parseFrame(rest)
		if length == 0 {
			break
		}
		rest = rest[length:]
		if err := r.frame(op, payload, text); err != nil {
			return err
		}
	}
	r.filled = copy(r.buf, rest)
	return nil
}

func (r *frameReader) frame(op byte, payload []byte, text func([]byte) error) error {
	switch op {
	case opText:
		return text(payload)
	case opPing:
		_, err := r.conn.Write(maskedFrame(nil, opPong, payload))
		return err
	case opClose:
		if len(payload) > 2 {
			return errors.Join(errClosed, errors.New(string(payload[2:])))
		}
		return errors.Join(errClosed, io.EOF)
	}
	return nil
}

// parseFrame returns the first frame and how long it is; 0 when it is not all there.
func parseFrame(data []byte) (op byte, payload []byte, length int) {
	if len(data) < 2 {
		return 0, nil, 0
	}
	size, head := int(data[1]&0x7f), 2
	switch size {
	case 126:
		if head = 4; len(data) < head {
			return 0, nil, 0
		}
		size = int(binary.BigEndian.Uint16(data[2:]))
	case 127:
		if head = 10; len(data) < head {
			return 0, nil, 0
		}
		size = int(binary.BigEndian.Uint64(data[2:]))
	}
	if len(data) < head+size {
		return 0, nil, 0
	}
	return data[0] & 0xf, data[head : head+size], head + size
}
