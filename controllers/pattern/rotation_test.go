package pattern

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// rotatedAt is a Secret for which a rotation was carried out some seconds after the epoch.
func rotatedAt(value string, seconds int) *corev1.Secret {
	s := secretOf("7", map[string]string{"password": "p"})
	s.Annotations = map[string]string{annotationRotated: value}
	if seconds != 0 {
		s.Annotations[annotationRotatedAt] = epoch.Add(time.Duration(seconds) * time.Second).Format(time.RFC3339)
	}
	return s
}

func TestDecideRotation(t *testing.T) {
	generates := func(g Generator) Child {
		return Child{Object: secretOf("", nil), Generate: map[string]Generator{"password": g}}
	}
	password := generates(Generator{Bytes: 8, Previous: "previousPassword", Settle: 2 * time.Minute})
	token := generates(Generator{Bytes: 8, Previous: "previousToken"})
	never := Verdict{Reason: "RotatedElsewhere", Message: "no"}
	waits := "the last rotation is reaching everybody, which takes up to 2m0s: this one follows"
	tests := []struct {
		name   string
		asked  string
		child  Child
		live   client.Object
		kind   Verdict
		value  string
		reason string
		again  time.Duration
	}{
		{"nothing is asked for", "", password, rotatedAt("a", -10), Verdict{OK: true}, "", "", 0},
		{"the first", "a", password, secretOf("7", nil), Verdict{OK: true}, "a", "CredentialsRotated", 0},
		{"it is done", "a", password, rotatedAt("a", -10), never, "a", "CredentialsRotated", 0},
		{"nothing is there yet", "a", password, nil, never, "a", "CredentialsRotated", 0},
		{"soon after the last", "b", password, rotatedAt("a", -50), Verdict{OK: true}, "", "RotationWaiting", 70 * time.Second},
		{"at the last moment", "b", password, rotatedAt("a", -119), Verdict{OK: true}, "", "RotationWaiting", time.Second},
		{"when the last is over", "b", password, rotatedAt("a", -120), Verdict{OK: true}, "b", "CredentialsRotated", 0},
		{"by a clock that is ahead", "b", password, rotatedAt("a", 3600), Verdict{OK: true}, "", "RotationWaiting", 2 * time.Minute},
		{"nobody knows when the last was", "b", password, rotatedAt("a", 0), Verdict{OK: true}, "b", "CredentialsRotated", 0},
		{"what needs no time", "b", token, rotatedAt("a", -1), Verdict{OK: true}, "b", "CredentialsRotated", 0},
		{"the kind can not", "b", password, rotatedAt("a", -500), never, "", "RotatedElsewhere", 0},
		{"nothing is generated", "a", Child{Object: secretOf("", nil)}, secretOf("7", nil), never, "", "RotatedElsewhere", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := makeGateway("chat").obj()
			if tt.asked != "" {
				g.Annotations = map[string]string{v1alpha1.AnnotationRotateCredentials: tt.asked}
			}
			s := &scope{obj: g, now: metav1.NewTime(epoch), plan: Plan{Children: []Child{tt.child}}}
			k := Definition[*v1alpha1.RealtimeGateway]{
				Rotatable: func(*v1alpha1.RealtimeGateway, Inputs, []client.Object) Verdict { return tt.kind },
			}
			decideRotation(k, s, []client.Object{tt.live})
			reason := ""
			if v := s.rotation.verdict; v != nil {
				reason = v.Reason
				if reason == "RotationWaiting" && v.Message != waits {
					t.Errorf("message is %q", v.Message)
				}
			}
			if s.rotation.value != tt.value || reason != tt.reason || s.again != tt.again {
				t.Errorf("value %q, reason %q, again after %s; want %q, %q, %s", s.rotation.value, reason, s.again, tt.value, tt.reason, tt.again)
			}
		})
	}
}

func TestDecideRotationOfALongValue(t *testing.T) {
	g := makeGateway("chat").obj()
	g.Annotations = map[string]string{v1alpha1.AnnotationRotateCredentials: strings.Repeat("x", 10000)}
	s := &scope{obj: g, plan: Plan{Children: []Child{{Object: secretOf("", nil), Generate: map[string]Generator{"t": {Previous: "p"}}}}}}
	decideRotation(Definition[*v1alpha1.RealtimeGateway]{}, s, []client.Object{nil})
	if n := len(s.rotation.verdict.Message); n > 300 {
		t.Errorf("the message has %d characters", n)
	}
}

// TestTheValueBefore shows that nobody is told to rely on a value that is refused.
func TestTheValueBefore(t *testing.T) {
	for ends, want := range map[bool]string{false: "accepted until the next rotation", true: "refused from when the new ones are taken up"} {
		g := makeGateway("chat").obj()
		g.Annotations = map[string]string{v1alpha1.AnnotationRotateCredentials: "a"}
		child := Child{Object: secretOf("", nil), Generate: map[string]Generator{"password": {Previous: "previousPassword", Ends: ends}}}
		s := &scope{obj: g, plan: Plan{Children: []Child{child}}}
		decideRotation(Definition[*v1alpha1.RealtimeGateway]{}, s, []client.Object{nil})
		if got := s.rotation.verdict.Message; !strings.HasSuffix(got, "what was in use before is "+want) {
			t.Errorf("message is %q, want it to end with %q", got, want)
		}
	}
}

func TestMarkRotatedAt(t *testing.T) {
	slow := map[string]Generator{"password": {Settle: time.Minute}}
	early, late := epoch.Add(-time.Hour).Format(time.RFC3339), epoch.Format(time.RFC3339)
	tests := []struct {
		name       string
		value      string
		live       *corev1.Secret
		generators map[string]Generator
		want       string
	}{
		{"rotated now", "b", rotatedAt("a", -3600), slow, late},
		{"rotated before", "a", rotatedAt("a", -3600), slow, early},
		{"never rotated", "", secretOf("7", nil), slow, ""},
		{"made now", "a", nil, slow, ""},
		{"what needs no time", "b", rotatedAt("a", 0), map[string]Generator{"token": {}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			next := secretOf("", nil)
			if tt.value != "" {
				next.Annotations = map[string]string{annotationRotated: tt.value}
			}
			var live client.Object
			if tt.live != nil {
				live = tt.live
			}
			markRotatedAt(next, live, tt.generators, metav1.NewTime(epoch))
			if diff := cmp.Diff(tt.want, next.Annotations[annotationRotatedAt]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
