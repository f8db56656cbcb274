package conformance

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var deliveryTests = []test{
	{"PollReadsWhatWasPublished", testPoll},
	{"PollAnswers304", testETag},
	{"PollPages", testPaging},
	{"LongPollWakes", testLongPollWakes},
	{"LongPollEndsEmpty", testLongPollEnds},
	{"LongPollLosesNoWakeUp", testLongPollRace},
	{"StreamOfSeveralRooms", testStreamRooms},
	{"SocketCommands", testSocketCommands},
	{"SDKPublishesAndSubscribes", testSDK},
	{"OneMessageOverAllProtocols", testSameMessage},
	{"OneOrderOverAllProtocols", testOneOrder},
	{"ProtocolsThatAreOff", testProtocolsOff},
}

func testPoll(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	empty := c.poll("a")
	if len(empty.Messages) != 0 || empty.Gap || empty.More || empty.Next == "" {
		t.Fatalf("an empty room answers %+v", empty)
	}
	first := c.publish("a", `{"b":[1, 2, "ü"] }`)
	second := c.publish("a", `null`)
	page := c.poll("a", "since", empty.Next)
	if diff := cmp.Diff([]string{first.Position, second.Position}, []string{page.Messages[0].Position, page.Messages[1].Position}); diff != "" {
		t.Errorf("positions (-published +read):\n%s", diff)
	}
	if got := string(page.Messages[0].Data); got != `{"b":[1,2,"ü"]}` {
		t.Errorf("data is %s", got)
	}
	if got := string(page.Messages[1].Data); got != "null" {
		t.Errorf("data is %s", got)
	}
	if page.Next != second.Position {
		t.Errorf("next is %s, want %s", page.Next, second.Position)
	}
	if latest := c.poll("a", "since", "latest"); len(latest.Messages) != 0 || latest.Next != second.Position {
		t.Errorf("since=latest answers %+v", latest)
	}
	if oldest := c.poll("a", "since", "oldest"); len(oldest.Messages) != 2 {
		t.Errorf("since=oldest answers %+v", oldest)
	}
	published, err := time.Parse(time.RFC3339, page.Messages[0].PublishedAt)
	if err != nil || time.Since(published) > time.Minute {
		t.Errorf("publishedAt is %q", page.Messages[0].PublishedAt)
	}
}

func testETag(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	c.publish("a", "1")
	path := messagesPath("a")
	first := c.must(http.StatusOK, http.MethodGet, path, nil)
	tag := first.header.Get("ETag")
	if tag == "" {
		t.Fatal("no ETag")
	}
	for _, given := range []string{tag, "W/" + tag, `"other", ` + tag} {
		r := c.must(http.StatusNotModified, http.MethodGet, path, nil, "If-None-Match", given)
		if len(r.body) != 0 || r.header.Get("ETag") != tag {
			t.Errorf("304 for %s has body %q and ETag %q", given, r.body, r.header.Get("ETag"))
		}
	}
	c.must(http.StatusOK, http.MethodGet, path, nil, "If-None-Match", `"other"`)
	c.publish("a", "2")
	second := c.must(http.StatusOK, http.MethodGet, path, nil, "If-None-Match", tag)
	if second.header.Get("ETag") == tag {
		t.Error("the ETag did not change with the content")
	}
}

func testPaging(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	c.publishN("a", 1, 25)
	var got []string
	since := "oldest"
	for range 10 {
		page := c.poll("a", "since", since, "limit", "10")
		for _, m := range page.Messages {
			got = append(got, string(m.Data))
		}
		since = page.Next
		if !page.More {
			break
		}
	}
	if diff := cmp.Diff(numbers(1, 25), got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func numbers(from, to int) []string {
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func testLongPollWakes(t *testing.T, start Factory) {
	target := start(t, Options{})
	c := target.client(t)
	at := c.poll("a").Next
	woken := make(chan Page, 1)
	go func() { woken <- c.poll("a", "since", at, "wait", "60s") }()
	eventually(t, "the poll to wait", func() bool { return target.connections(t, "longpolling") == 1 })
	want := c.publish("a", "7")
	page := <-woken
	if len(page.Messages) != 1 || page.Messages[0].Position != want.Position || page.Next != want.Position {
		t.Errorf("woken with %+v", page)
	}
	eventually(t, "the poll to be gone", func() bool { return target.connections(t, "longpolling") == 0 })
}

func testLongPollEnds(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	at := c.publish("a", "1").Position
	page := c.poll("a", "since", at, "wait", "20ms")
	if len(page.Messages) != 0 || page.Next != at || page.Gap {
		t.Errorf("the end of the wait answers %+v", page)
	}
	if page = c.poll("a", "since", "oldest", "wait", "30s"); len(page.Messages) != 1 {
		t.Errorf("a poll that has an answer waited: %+v", page)
	}
}

// testLongPollRace publishes while polls begin to wait, at every possible moment.
func testLongPollRace(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	since := c.poll("a").Next
	for i := range 200 {
		var publish sync.WaitGroup
		publish.Go(func() { c.publish("a", fmt.Sprint(i)) })
		ctx, cancel := soon(context.Background())
		r, err := c.do(ctx, http.MethodGet, messagesPath("a", "since", since, "wait", "60s"), nil)
		cancel()
		publish.Wait()
		if err != nil {
			t.Fatalf("round %d: the wake-up was lost: %v", i, err)
		}
		page := decode[Page](t, r.body)
		if len(page.Messages) != 1 || string(page.Messages[0].Data) != fmt.Sprint(i) {
			t.Fatalf("round %d: answered %+v", i, page)
		}
		since = page.Next
	}
}

// testOneOrder has publishers compete, and all followers agree on the outcome.
func testOneOrder(t *testing.T, start Factory) {
	c := start(t, Options{}).client(t)
	var followers []*follower
	for _, p := range protocols {
		followers = append(followers, c.follow(p, "a", ""))
	}
	const publishers, each = 4, 30
	var publish sync.WaitGroup
	for p := range publishers {
		publish.Go(func() {
			for i := range each {
				c.publish("a", fmt.Sprintf(`"%d/%d"`, p, i))
			}
		})
	}
	publish.Wait()
	var want []Seen
	for _, m := range c.poll("a", "limit", "1000").Messages {
		want = append(want, Seen{Position: m.Position, Offset: m.Offset, Data: string(m.Data)})
	}
	if len(want) != publishers*each {
		t.Fatalf("the room holds %d messages, want %d", len(want), publishers*each)
	}
	for _, f := range followers {
		f.awaitCount(len(want))
		sameOrder(t, want, check(t, f.protocol, f.history()), f.protocol)
	}
}

func testProtocolsOff(t *testing.T, start Factory) {
	paths := map[string]string{
		polling:     messagesPath("a"),
		longPolling: messagesPath("a", "wait", "1s"),
		sse:         "/v1/stream?room=a",
		socketProto: "/v1/ws",
		centrifuge:  "/connection/websocket",
	}
	for only, paths := range map[string]map[string]string{
		polling:     {longPolling: paths[longPolling], sse: paths[sse], socketProto: paths[socketProto], centrifuge: paths[centrifuge]},
		socketProto: {polling: paths[polling], longPolling: paths[longPolling], sse: paths[sse]},
	} {
		c := start(t, Options{Configure: only1(only)}).client(t)
		for name, path := range paths {
			p := c.must(http.StatusForbidden, http.MethodGet, path, nil).problem(t)
			if p.Slug() != "protocol-disabled" {
				t.Errorf("only %s: %s is refused as %s", only, name, p.Slug())
			}
		}
		c.publish("a", "1")
	}
}
