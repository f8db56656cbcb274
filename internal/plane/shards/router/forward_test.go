package router

import (
	"net/http"
	"strings"
	"testing"
)

// TestARequestReachesItsOwner whichever partition it is of, as it was sent.
func TestARequestReachesItsOwner(t *testing.T) {
	c := start(t, options{shards: 3})
	for p := range partitions {
		resp, body := c.ask(http.MethodPost, "/a%2Fb//c?x=1&y=%20#", keyOf(p), strings.NewReader("hello"),
			"Trellis-Partition: 3", "Trellis-Member-Token: forged", "Trellis-Epoch: 9", "Connection: X-Hop", "X-Hop: 1", "X-Forwarded-For: 10.0.0.1", "Accept: a", "Accept: b")
		owner, _ := c.state.Table.Owner(p)
		if resp.StatusCode != http.StatusOK || body != "hello" || resp.Header.Get("Shard") != owner.ID {
			t.Fatalf("partition %d: %d of %s: %s", p, resp.StatusCode, resp.Header.Get("Shard"), body)
		}
		for name, want := range map[string]string{
			"Target": "POST /a%2Fb//c?x=1&y=%20", "Saw-X-Forwarded-For": "10.0.0.1, 127.0.0.1", "Saw-X-Hop": "", "Saw-Accept": "a,b",
			"Saw-X-Forwarded-Host": strings.TrimPrefix(c.replica.URL, "http://"), "Saw-X-Forwarded-Proto": "http",
		} {
			if got := strings.Join(resp.Header.Values(name), ","); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
	c.noStrays()
}
