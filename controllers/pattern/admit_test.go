package pattern

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

const redis = v1alpha1.EngineRedis

func TestAdmit(t *testing.T) {
	accepted := Verdict{OK: true, Reason: "Accepted", Message: "the spec can be carried out"}
	refused := func(reason, message string) Verdict { return Verdict{Reason: reason, Message: message, Stalled: true} }
	ref := &v1alpha1.EngineSelection{Ref: &v1alpha1.EngineReference{Name: "mine"}}
	dedicated := &v1alpha1.EngineSelection{Sharing: v1alpha1.EngineDedicated}
	notOffered := refused("EngineNotAllowed",
		`PatternClass "c" offers no engine of type Redis: choose another class, or ask the platform team to add it to spec.engines`)
	tests := []struct {
		name  string
		class *classBuilder
		needs Needs
		want  Verdict
	}{
		{"nothing asked, nothing limited", makeClass("c"), Needs{}, accepted},

		{"an engine on offer", makeClass("c").offers(redis), Needs{Engine: &EngineNeed{Type: redis}}, accepted},
		{"an engine not on offer", makeClass("c"), Needs{Engine: &EngineNeed{Type: redis}}, notOffered},
		{"a dedicated engine not on offer", makeClass("c"), Needs{Engine: &EngineNeed{Type: redis, Selection: dedicated}}, notOffered},
		{"a named engine needs no offer", makeClass("c"), Needs{Engine: &EngineNeed{Type: redis, Selection: ref}}, accepted},
		{"an Engine of the class, on offer", makeClass("c").offers(redis), Needs{OffersEngine: redis}, accepted},
		{"an Engine of the class, not on offer", makeClass("c"), Needs{OffersEngine: redis}, notOffered},

		{"an allowed engine", makeClass("c").allows("Memory", "Redis"), Needs{EngineName: "Redis"}, accepted},
		{"an engine that is not allowed", makeClass("c").allows("Memory", "NATS"), Needs{EngineName: "Redis"},
			refused("EngineNotAllowed", `PatternClass "c" does not allow engine Redis: choose one of Memory, NATS`)},
		{"a named engine that is not allowed", makeClass("c").allows("Memory"),
			Needs{EngineName: "Redis", Engine: &EngineNeed{Type: redis, Selection: ref}},
			refused("EngineNotAllowed", `PatternClass "c" does not allow engine Redis: choose one of Memory`)},
		{"no engine to allow", makeClass("c").allows("Memory"), Needs{}, accepted},
		{"limits that say nothing of engines", makeClass("c").maxReplicas(1), Needs{EngineName: "Redis"}, accepted},

		{"as many replicas as allowed", makeClass("c").maxReplicas(3), Needs{Replicas: 3}, accepted},
		{"more replicas than allowed", makeClass("c").maxReplicas(3), Needs{Replicas: 4},
			refused("LimitExceeded", `spec.replicas is 4 and PatternClass "c" allows 3: lower it, or choose another class`)},

		{"more replicas than allowed, by another field", makeClass("c").maxReplicas(3), Needs{Replicas: 4, ReplicasField: "spec.scaling.maxReplicas"},
			refused("LimitExceeded", `spec.scaling.maxReplicas is 4 and PatternClass "c" allows 3: lower it, or choose another class`)},

		{"as much storage as allowed", makeClass("c").maxStorage("1Gi"), Needs{Storage: quantity("1024Mi")}, accepted},
		{"more storage than allowed", makeClass("c").maxStorage("1Gi"), Needs{Storage: quantity("1025Mi")},
			refused("LimitExceeded", `storage of all replicas is 1025Mi and PatternClass "c" allows 1Gi: lower it, or choose another class`)},
		{"no storage", makeClass("c").maxStorage("1Gi"), Needs{}, accepted},

		{"a page that is allowed", makeClass("c"), Needs{Playground: true}, accepted},
		{"a page that is forbidden", makeClass("c").playground("Forbidden"), Needs{Playground: true},
			refused("LimitExceeded", `spec.playground is Enabled and PatternClass "c" forbids it: remove it, or choose another class`)},
		{"no page where it is forbidden", makeClass("c").playground("Forbidden"), Needs{}, accepted},

		{"the first refusal counts", makeClass("c").allows("Memory").maxReplicas(1).maxStorage("1Gi"),
			Needs{Engine: &EngineNeed{Type: redis}, EngineName: "Redis", Replicas: 2, Storage: quantity("2Gi")}, notOffered},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, admit(admission{class: tt.class.obj(), needs: tt.needs})); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAdmitAsksForEachEngine of a kind that uses several.
func TestAdmitAsksForEachEngine(t *testing.T) {
	ref := &v1alpha1.EngineSelection{Ref: &v1alpha1.EngineReference{Name: "mine"}}
	of := func(store, ledger *v1alpha1.EngineSelection) Needs {
		return Needs{
			EngineName: "S3", Engine: &EngineNeed{Type: v1alpha1.EngineS3, Selection: store},
			Others: []EngineNeed{{Type: v1alpha1.EnginePostgreSQL, Selection: ledger, Role: "ledger"}},
		}
	}
	const (
		s3, pgsql  = v1alpha1.EngineS3, v1alpha1.EnginePostgreSQL
		notOffered = `PatternClass "c" offers no engine of type %: choose another class, or ask the platform team to add it to spec.engines`
		notAllowed = `PatternClass "c" does not allow engine %: choose one of `
	)
	for name, c := range map[string]struct {
		class *classBuilder
		needs Needs
		want  string
	}{
		"both on offer":     {makeClass("c").offers(s3).offers(pgsql), of(nil, nil), ""},
		"no store":          {makeClass("c").offers(pgsql), of(nil, nil), strings.Replace(notOffered, "%", "S3", 1)},
		"no ledger":         {makeClass("c").offers(s3), of(nil, nil), strings.Replace(notOffered, "%", "PostgreSQL", 1)},
		"a ledger by name":  {makeClass("c").offers(s3), of(nil, ref), ""},
		"both by name":      {makeClass("c"), of(ref, ref), ""},
		"both allowed":      {makeClass("c").allows("S3", "PostgreSQL"), of(ref, ref), ""},
		"no store allowed":  {makeClass("c").allows("PostgreSQL"), of(ref, ref), strings.Replace(notAllowed, "%", "S3", 1) + "PostgreSQL"},
		"no ledger allowed": {makeClass("c").allows("S3"), of(ref, ref), strings.Replace(notAllowed, "%", "PostgreSQL", 1) + "S3"},
	} {
		want := "the spec can be carried out"
		if c.want != "" {
			want = c.want
		}
		if got := admit(admission{class: c.class.obj(), needs: c.needs}); got.Message != want || got.OK != (c.want == "") {
			t.Errorf("%s: %+v, want %s", name, got, want)
		}
	}
}
