package realtime

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func validJSON(b []byte) bool { return json.Valid(b) }

// TestFrameIsAMessage holds the encoding by hand against encoding/json.
func TestFrameIsAMessage(t *testing.T) {
	for _, c := range []struct {
		tags map[string]string
		data string
	}{
		{nil, `null`},
		{map[string]string{tagPublishedAt: "2026-01-02T03:04:05.006Z"}, `{"a":[1,"\n"]}`},
		{map[string]string{tagPublishedAt: "2026-01-02T03:04:05.006Z", tagTraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "other": "x"}, `"text"`},
	} {
		want, err := json.Marshal(Message{
			Room: "a.b", Offset: 7, Position: "epoch:7", PublishedAt: c.tags[tagPublishedAt], TraceParent: c.tags[tagTraceParent], Data: json.RawMessage(c.data),
		})
		if err != nil {
			t.Fatal(err)
		}
		f := encodeFrame("a.b", "epoch", 7, c.tags, []byte(c.data))
		if diff := cmp.Diff(string(want), string(f.object())); diff != "" {
			t.Errorf("message (-json +frame):\n%s", diff)
		}
		if diff := cmp.Diff(`{"type":"message",`+string(want[1:]), string(f.text)); diff != "" {
			t.Errorf("frame (-json +frame):\n%s", diff)
		}
	}
}

func TestFramesKnowThePushByItsBytes(t *testing.T) {
	var m frames
	push := []byte("push")
	f := &frame{room: "a"}
	if m.get(push) != nil {
		t.Error("an empty memory knows a push")
	}
	m.put(push, f)
	if m.get(push) != f {
		t.Error("a push is not known again")
	}
	if m.get(append([]byte(nil), push...)) != nil || m.get(push[:3]) != nil {
		t.Error("other bytes are taken for the push")
	}
}
