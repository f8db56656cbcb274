package carry

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// keeper keeps what was written last, as HTTP/2 may for a moment, and says that it failed.
type keeper struct {
	http.ResponseWriter
	kept []byte
}

var errKept = errors.New("the stream was reset")

// Write implements http.ResponseWriter.
func (k *keeper) Write(p []byte) (int, error) {
	k.kept = p
	return 0, errKept
}

type constant byte

func (c constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

func reply(body io.Reader) *Reply {
	return &Reply{Response: &http.Response{ContentLength: -1, Body: io.NopCloser(body)}}
}

// TestWhatAFailedWriteMayStillReadIsNobodyElses.
func TestWhatAFailedWriteMayStillReadIsNobodyElses(t *testing.T) {
	for _, slow := range []bool{false, true} {
		k := &keeper{}
		if err := (&Client{W: k, Slow: slow}).Body(reply(constant('a')), false, 0, func() {}); !errors.Is(err, errKept) {
			t.Fatal(err)
		}
		// Pools forget some of what they get, under the race detector.
		for range 100 {
			other := &keeper{}
			_ = (&Client{W: other, Slow: slow}).Body(reply(constant('b')), false, 0, func() {})
		}
		if k.kept[0] != 'a' {
			t.Errorf("slow: %t: another answer's bytes are in it", slow)
		}
	}
}

// TestWhatInformsSaysNothingOfTheConnection that it came on.
func TestWhatInformsSaysNothingOfTheConnection(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	to := &Client{W: w}
	to.Inform(&http.Response{StatusCode: http.StatusEarlyHints, Header: http.Header{"Connection": {"X"}, "X": {"y"}, "Keep-Alive": {"1"}, "Link": {"</x>"}}})
	if diff := cmp.Diff(http.Header{"Link": {"</x>"}}, w.Result().Header); diff != "" {
		t.Error(diff)
	}
}
