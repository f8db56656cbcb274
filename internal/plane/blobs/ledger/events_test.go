package ledger_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/ledger"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// events come in order per file, to one caller at a time, until they are sent.
func events(t *testing.T, connect func(plane.LedgerSettings) *ledger.Ledger) {
	l := connect(plane.LedgerSettings{Sinks: map[string][]string{"all": nil, "ends": {blobs.EventDeleted}}})
	e := begin(t, l)
	if _, err := l.Arrived(t.Context(), epoch, e.ID, plane.Object{}); err != nil {
		t.Fatal(err)
	}
	take := func(sink string, at time.Duration, most int) (types, ids []string) {
		got, err := l.Events(t.Context(), epoch.Add(at), sink, most, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range got {
			types, ids = append(types, one.Type), append(ids, one.ID)
		}
		return types, ids
	}
	if got, _ := take("all", 0, 1); !slices.Equal(got, []string{blobs.EventPending}) {
		t.Errorf("first %v", got)
	}
	if got, _ := take("all", time.Second, 10); got != nil {
		t.Errorf("while the first is being sent, another got %v", got)
	}
	waiting := func(want map[string]int) {
		t.Helper()
		got := map[string]int{}
		for _, sink := range []string{"all", "ends"} {
			n, err := l.Waiting(t.Context(), sink, 100)
			if err != nil {
				t.Fatal(err)
			}
			got[sink] = n
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("what waits (-want +got)\n%s", diff)
		}
	}
	// Those that are being sent wait too.
	waiting(map[string]int{"all": 2, "ends": 0})
	if n, err := l.Waiting(t.Context(), "all", 1); n != 1 || err != nil {
		t.Errorf("counted to one: %d, %v", n, err)
	}
	got, ids := take("all", 2*time.Minute, 10)
	if !slices.Equal(got, []string{blobs.EventPending, blobs.EventUploaded}) {
		t.Errorf("after that %v", got)
	}
	if err := l.Sent(t.Context(), "all", append(ids, "strange")); err != nil {
		t.Fatal(err)
	}
	waiting(map[string]int{"all": 0, "ends": 0})
	if got, _ := take("all", time.Hour, 10); got != nil {
		t.Errorf("sent, and again %v", got)
	}
	if got, _ := take("ends", time.Hour, 10); got != nil {
		t.Errorf("what was not asked for: %v", got)
	}
}
