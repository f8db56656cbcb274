package conformance

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Rotating is an engine whose password can be rotated.
type Rotating interface {
	Engine
	// Steady keeps a machine that is too slow from being taken for a lost primary.
	Steady(t *testing.T)
	// Rotate gives the planes a new password, beside the one before. The engine accepts it, and the one
	// before, only when takeUp is called.
	Rotate(t *testing.T) (takeUp func())
	// Cut breaks all connections to the engine, so that they are made anew.
	Cut(t *testing.T)
	// Refuses is true when the password is not accepted that was n rotations ago.
	Refuses(t *testing.T, n int) bool
}

// testPasswordRotates rotates the engine's password twice while messages are published, and breaks the
// planes' connections when they know of it and the engine does not, and when both do: nothing is lost,
// there is no gap, and nobody has to connect again.
func testPasswordRotates(t *testing.T, start Factory) {
	target := start(t, Options{Replicas: 2, Configure: bigHistory})
	engine, ok := target.Engine.(Rotating)
	if !ok {
		t.Fatal("the engine's password cannot be rotated")
	}
	engine.Steady(t)
	here, there := target.client(t), newClient(t, target.Replicas[1].URL, target.Token)
	var followers []*follower
	for _, p := range protocols {
		followers = append(followers, there.follow(p, "a", ""))
	}
	pub := here.publishEvery(pace, "a")
	for range 2 {
		pub.more(t, 20)
		takeUp := engine.Rotate(t)
		engine.Cut(t)
		pub.more(t, 20)
		takeUp()
		engine.Cut(t)
		pub.more(t, 20)
	}
	want := pub.end()
	if engine.Refuses(t, 0) || engine.Refuses(t, 1) || !engine.Refuses(t, 2) {
		t.Errorf("refused: the last password %t, the one before %t, the first %t", engine.Refuses(t, 0), engine.Refuses(t, 1), engine.Refuses(t, 2))
	}
	for _, f := range followers {
		f.awaitLast(want[len(want)-1])
		var got []string
		for _, m := range check(t, f.protocol, f.history()) {
			got = append(got, m.Data)
		}
		if diff := cmp.Diff(want, got); diff != "" || len(f.gaps()) > 0 {
			t.Errorf("%s was told of gaps %+v (-acknowledged +seen):\n%s", f.protocol, f.gaps(), diff)
		}
		if (f.protocol == sse || f.protocol == socketProto) && f.connections() != 1 {
			t.Errorf("%s connected %d times: it did not stay open", f.protocol, f.connections())
		}
	}
}
