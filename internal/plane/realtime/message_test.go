package realtime

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
		if diff := cmp.Diff(string(want), string(f.append(nil))); diff != "" {
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

// TestAnswersEncodeThemselves holds the encoding by hand against encoding/json.
func TestAnswersEncodeThemselves(t *testing.T) {
	first := encodeFrame("a", "epoch", 1, nil, []byte(`{"x":"<>&"}`))
	second := encodeFrame("a", "epoch", 2, map[string]string{tagPublishedAt: "2026-01-02T03:04:05.006Z"}, []byte(`"é"`))
	for _, m := range []*Messages{
		{Messages: MessageList{}, Next: "epoch:0"},
		{Messages: MessageList{frames: []*frame{first}}, Next: "epoch:1", More: true},
		{Messages: MessageList{frames: []*frame{first, second}}, Next: "epoch:2", Gap: true, Reason: gapExceeded},
	} {
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(m); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.String(), string(m.AppendJSON(nil))+"\n"); diff != "" {
			t.Errorf("answer (-json +by hand):\n%s", diff)
		}
	}
}
