package load

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// mark precedes the time in a message; no protocol escapes it.
const mark = "@@@@"

// timeDigits of the time after the mark, in hexadecimal.
const timeDigits = 16

// payload is a JSON string of size bytes that ends in when it was to be sent.
func payload(dst []byte, size int, at time.Duration) []byte {
	const around = len(mark) + timeDigits + 2
	dst = append(dst, '"')
	dst = append(dst, strings.Repeat("x", max(0, size-around))...)
	dst = append(dst, mark...)
	digits := strconv.FormatUint(uint64(at), 16)
	dst = append(dst, strings.Repeat("0", timeDigits-len(digits))...)
	dst = append(dst, digits...)
	return append(dst, '"')
}

// eachMark calls seen with the time of every message in data, and returns what
// may be the beginning of another one.
func eachMark(data []byte, seen func(at time.Duration)) (rest []byte) {
	for {
		i := bytes.Index(data, []byte(mark))
		if i < 0 {
			return data[max(0, len(data)-len(mark)+1):]
		}
		if len(data) < i+len(mark)+timeDigits {
			return data[i:]
		}
		data = data[i+len(mark):]
		seen(hex(data[:timeDigits]))
		data = data[timeDigits:]
	}
}

func hex(digits []byte) time.Duration {
	var n uint64
	for _, c := range digits {
		n <<= 4
		if c >= 'a' {
			n |= uint64(c - 'a' + 10)
		} else {
			n |= uint64(c - '0')
		}
	}
	return time.Duration(n)
}
