package blobs_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// TestOrphansAreTold once each, whether they stay or are removed, and by whichever replica.
func TestOrphansAreTold(t *testing.T) {
	t.Parallel()
	r := newRuled(t, false)
	r.Ledger.Reconfigure(plane.LedgerSettings{Sinks: map[string][]string{"all": nil, "other": {blobs.EventDeleted}}})
	told := func() (out []string) {
		t.Helper()
		for _, sink := range []string{"all", "other"} {
			events, err := r.Ledger.Events(t.Context(), r.began, sink, 100, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, e := range events {
				ids = append(ids, e.ID)
				if e.Type == blobs.EventOrphaned {
					out = append(out, sink+" "+e.File.Key+" "+string(e.File.Status))
				}
			}
			if err := r.Ledger.Sent(t.Context(), sink, ids); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	scan := func(remove bool, after time.Duration) plane.Report {
		t.Helper()
		s := &plane.Scan{Collector: r.Collector, Prefix: "in/", Grace: time.Hour, Remove: remove, Tell: true}
		out, err := s.Run(t.Context(), r.began.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	want := func(keys ...string) {
		t.Helper()
		var all []string
		for _, k := range keys {
			all = append(all, "all "+k+" orphaned")
		}
		if diff := cmp.Diff(all, told()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	r.write("in/a", "x")
	r.write("in/b", "x")
	known := r.upload()
	scan(false, time.Minute)
	want()
	scan(false, 2*time.Hour)
	want("in/a", "in/b")
	scan(false, 2*time.Hour)
	want()
	// The time that is noted never goes back.
	if err := r.Ledger.SetOrphansTold(t.Context(), time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if got := scan(true, 3*time.Hour); got.Removed != 2 || got.Orphans != 2 {
		t.Errorf("%+v", got)
	}
	want()
	r.has("in/a", false)
	r.has(known.Key, true)
}
