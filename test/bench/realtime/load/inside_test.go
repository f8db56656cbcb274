package load

import (
	"bytes"
	"net"
	"slices"
	"testing"
	"time"
)

func TestTheHistogramIsExactToAThirtySecond(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 63, 64, 65, 1000, 12345, time.Millisecond, 1234567, time.Second, time.Hour} {
		var h histogram
		h.add(d)
		got := h.quantile(0.99)
		if got < d || float64(got) > float64(d)*(1+1.0/32)+1 {
			t.Errorf("%d is told as %d", d, got)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var h histogram
	for i := 1; i <= 100; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond} {
		if got := h.quantile(q); got < want || got > want+want/16 {
			t.Errorf("quantile %g is %s, want %s", q, got, want)
		}
	}
	h.reset()
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("after a reset the median is %s", got)
	}
}

// A time is read however the stream is cut into pieces.
func TestMarksAcrossPieces(t *testing.T) {
	want := []time.Duration{7, 1 << 40, 123456789}
	var stream []byte
	for _, at := range want {
		stream = append(append(stream, "@@ noise "...), payload(nil, 40, at)...)
	}
	for size := 1; size < len(stream); size++ {
		var got []time.Duration
		var rest []byte
		for piece := range slices.Chunk(stream, size) {
			rest = slices.Clone(eachMark(append(rest, piece...), func(at time.Duration) { got = append(got, at) }))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("in pieces of %d: %v, want %v", size, got, want)
		}
	}
}

func TestFramesAcrossReads(t *testing.T) {
	client, server := net.Pipe()
	defer func() { _ = client.Close() }()
	texts := [][]byte{[]byte("a"), bytes.Repeat([]byte("b"), 200), bytes.Repeat([]byte("c"), 70000)}
	go func() {
		defer func() { _ = server.Close() }()
		for _, text := range texts {
			frame := maskedFrame(nil, opText, text)
			// A server's frame has no mask.
			head := len(frame) - len(text) - 4
			frame[1] &^= 0x80
			frame = slices.Delete(frame, head, head+4)
			for piece := range slices.Chunk(frame, 1000) {
				_, _ = server.Write(piece)
			}
		}
	}()
	var got [][]byte
	r := &frameReader{conn: client}
	for len(got) < len(texts) {
		if err := r.next(func(text []byte) error { got = append(got, bytes.Clone(text)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.EqualFunc(got, texts, bytes.Equal) {
		t.Error("the frames came out different")
	}
}
