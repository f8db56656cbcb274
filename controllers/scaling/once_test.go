package scaling

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
)

func TestNextRuns(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	under := Run{}
	good := func(before time.Duration) Run { return Run{Ended: now.Add(-before)} }
	bad := func(before time.Duration) Run { return Run{Ended: now.Add(-before), Failed: true} }
	tests := map[string]struct {
		total   *float64
		runs    []Run
		start   int32
		active  string
		limited string
	}{
		"nothing to do":                        {ptr.To(0.0), nil, 0, ReasonValid, ReasonWithin},
		"one piece of work":                    {ptr.To(1.0), nil, 1, ReasonValid, ReasonWithin},
		"it is under way":                      {ptr.To(1.0), []Run{under}, 0, ReasonValid, ReasonWithin},
		"one more":                             {ptr.To(2.0), []Run{under}, 1, ReasonValid, ReasonWithin},
		"as many as may be":                    {ptr.To(3.0), []Run{under}, 2, ReasonValid, ReasonWithin},
		"more than may be":                     {ptr.To(100.0), []Run{under}, 2, ReasonValid, ReasonTooMany},
		"more under way than may be":           {ptr.To(100.0), []Run{under, under, under, under}, 0, ReasonValid, ReasonTooMany},
		"not known":                            {nil, []Run{under}, 0, ReasonUnknown, ReasonWithin},
		"what just ended is counted still":     {ptr.To(1.0), []Run{good(5 * time.Second)}, 0, ReasonValid, ReasonWithin},
		"of many more all are started":         {ptr.To(9.0), []Run{good(time.Second), good(time.Second)}, 3, ReasonValid, ReasonTooMany},
		"it ended long ago":                    {ptr.To(1.0), []Run{good(7 * time.Second)}, 1, ReasonValid, ReasonWithin},
		"one failed just now":                  {ptr.To(1.0), []Run{bad(4 * time.Second)}, 0, ReasonValid, ReasonWithin},
		"one failed":                           {ptr.To(1.0), []Run{bad(6 * time.Second)}, 1, ReasonValid, ReasonWithin},
		"three failed":                         {ptr.To(1.0), []Run{bad(90 * time.Second), bad(40 * time.Second), bad(19 * time.Second)}, 0, ReasonValid, ReasonWithin},
		"three failed a while ago":             {ptr.To(1.0), []Run{bad(90 * time.Second), bad(40 * time.Second), bad(21 * time.Second)}, 1, ReasonValid, ReasonWithin},
		"many failed":                          {ptr.To(1.0), []Run{bad(61 * time.Second), bad(62 * time.Second), bad(63 * time.Second), bad(64 * time.Second), bad(65 * time.Second)}, 1, ReasonValid, ReasonWithin},
		"they failed before one that did well": {ptr.To(1.0), []Run{bad(9 * time.Second), bad(9 * time.Second), good(8 * time.Second)}, 1, ReasonValid, ReasonWithin},
		"one fails while others are under way": {ptr.To(9.0), []Run{under, bad(time.Second)}, 0, ReasonValid, ReasonTooMany},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			start, d := NextRuns(now, Spec{Max: 3, Unit: "jobs"}, Load{Total: tt.total}, tt.runs)
			have := int32(0)
			for _, r := range tt.runs {
				if r.Ended.IsZero() {
					have++
				}
			}
			if diff := cmp.Diff([]any{tt.start, tt.active, tt.limited, have + tt.start}, []any{start, d.Active.Reason, d.Limited.Reason, d.Replicas}); diff != "" {
				t.Errorf("start, active, limited, together (-want +got):\n%s", diff)
			}
			if d.Active.OK != (tt.total != nil) || d.Limited.OK != (tt.limited == ReasonTooMany) {
				t.Errorf("it says %+v", d)
			}
		})
	}
}
