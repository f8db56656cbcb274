package pattern

import (
	"cmp"
	"encoding/base64"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func secretOf(version string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", ResourceVersion: version}, Data: map[string][]byte{}}
	for k, v := range data {
		s.Data[k] = []byte(v)
	}
	return s
}

func TestGenerateKeepsWhatThereIs(t *testing.T) {
	tests := []struct {
		name                string
		planned, live, want map[string]string
	}{
		{"values stay", map[string]string{}, map[string]string{"password": "old", "token": "oldtoken"},
			map[string]string{"password": "old", "token": "oldtoken"}},
		{"placeholders are replaced, each time and place", map[string]string{"uri": "x://u:${password}@h/${token}", "conf": "pass ${password}${password}"},
			map[string]string{"password": "old", "token": "oldtoken"},
			map[string]string{"uri": "x://u:old@h/oldtoken", "conf": "pass oldold", "password": "old", "token": "oldtoken"}},
		{"what is no placeholder of a value stays", map[string]string{"a": "${other} $password $ ${} ${password", "b": "$$ 100$"},
			map[string]string{"password": "old", "token": "t"},
			map[string]string{"a": "${other} $password $ ${} ${password", "b": "$$ 100$", "password": "old", "token": "t"}},
		{"a value is not searched for placeholders", map[string]string{"uri": "${password}"},
			map[string]string{"password": "${token}", "token": "t"},
			map[string]string{"uri": "${token}", "password": "${token}", "token": "t"}},
		{"other keys of the living are the plan's to say", map[string]string{"host": "new"},
			map[string]string{"host": "old", "more": "x", "password": "old", "token": "t"},
			map[string]string{"host": "new", "password": "old", "token": "t"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := secretOf("", tt.planned)
			err := generate(got, secretOf("42", tt.live), map[string]Generator{"password": {Bytes: 8}, "token": {Bytes: 8}}, "")
			if err != nil {
				t.Fatal(err)
			}
			// The version makes the write fail when somebody else was faster.
			if diff := gocmp.Diff(secretOf("42", tt.want), got); diff != "" {
				t.Errorf("Secret (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGenerateMakesWhatIsMissing(t *testing.T) {
	for name, live := range map[string]client.Object{
		"no Secret yet":  nil,
		"no such key":    secretOf("1", map[string]string{"other": "x"}),
		"an empty value": secretOf("1", map[string]string{"token": ""}),
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[string]bool{}
			for range 20 {
				s := secretOf("", map[string]string{"uri": "x://${token}"})
				if err := generate(s, live, map[string]Generator{"token": {Bytes: 32}}, ""); err != nil {
					t.Fatal(err)
				}
				token := string(s.Data["token"])
				if raw, err := base64.RawURLEncoding.DecodeString(token); err != nil || len(raw) != 32 {
					t.Fatalf("token is of %d bytes, error %v", len(raw), err)
				}
				if got := string(s.Data["uri"]); got != "x://"+token {
					t.Error("the placeholder has another value")
				}
				if seen[token] {
					t.Error("a token came twice")
				}
				seen[token] = true
			}
		})
	}
}

func TestGenerateIntoNoData(t *testing.T) {
	s := &corev1.Secret{}
	if err := generate(s, nil, map[string]Generator{"token": {Bytes: 32}}, ""); err != nil {
		t.Fatal(err)
	}
	if len(s.Data["token"]) == 0 || s.ResourceVersion != "" {
		t.Errorf("keys %d, version %q", len(s.Data), s.ResourceVersion)
	}
}

func TestGenerateOnlySecrets(t *testing.T) {
	if err := generate(&corev1.ConfigMap{}, nil, map[string]Generator{"token": {Bytes: 32}}, ""); err == nil {
		t.Error("a ConfigMap gets a secret")
	}
}

// TestRotate makes a Secret anew again and again, as reconciles do, and says after which what changed.
func TestRotate(t *testing.T) {
	generators := map[string]Generator{"token": {Bytes: 8, Previous: "previousToken"}, "instance": {Bytes: 8}}
	var live *corev1.Secret
	reconcile := func(rotation string) (changed, kept bool) {
		t.Helper()
		next := secretOf("", map[string]string{"uri": "x://${token}@h", "both": "${token} ${previousToken}"})
		var old client.Object
		if live != nil {
			old = live
		}
		if err := generate(next, old, generators, rotation); err != nil {
			t.Fatal(err)
		}
		if string(next.Data["uri"]) != "x://"+string(next.Data["token"])+"@h" {
			t.Errorf("uri is %s", next.Data["uri"])
		}
		// Before the first rotation there is one only.
		before := cmp.Or(string(next.Data["previousToken"]), string(next.Data["token"]))
		if string(next.Data["both"]) != string(next.Data["token"])+" "+before {
			t.Errorf("both are %s", next.Data["both"])
		}
		if live != nil {
			changed = string(next.Data["token"]) != string(live.Data["token"])
			kept = string(next.Data["previousToken"]) == string(live.Data["token"])
			if string(next.Data["instance"]) != string(live.Data["instance"]) {
				t.Error("what is no credential changed")
			}
			if !changed && string(next.Data["previousToken"]) != string(live.Data["previousToken"]) {
				t.Error("the value before is lost")
			}
		}
		live = next
		return changed, kept
	}
	reconcile("")
	for _, step := range []struct {
		rotation string
		changes  bool
	}{
		{"", false}, {"one", true}, {"one", false}, {"two", true}, {"two", false}, {"", false}, {"two", false}, {"one", true}, {"", false},
	} {
		changed, kept := reconcile(step.rotation)
		if changed != step.changes || changed != kept {
			t.Errorf("rotation %q: changed %t, kept what was before %t; want %t", step.rotation, changed, kept, step.changes)
		}
	}
}

// TestRotateWhatIsNew shows that what is made only now is not made twice.
func TestRotateWhatIsNew(t *testing.T) {
	s := secretOf("", nil)
	if err := generate(s, nil, map[string]Generator{"token": {Bytes: 8, Previous: "previousToken"}}, "one"); err != nil {
		t.Fatal(err)
	}
	if _, there := s.Data["previousToken"]; there || s.Annotations[annotationRotated] != "one" {
		t.Errorf("keys %v, annotations %v", s.Data, s.Annotations)
	}
}
