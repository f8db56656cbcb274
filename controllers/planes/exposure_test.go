package planes

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// TestPlayground shows who decides whether there is a page, and that its address is told.
func TestPlayground(t *testing.T) {
	for _, tt := range []struct {
		spec  v1alpha1.Playground
		class v1alpha1.PlaygroundPolicy
		want  bool
	}{
		{"", "", false},
		{"", v1alpha1.PlaygroundPolicyAllowed, false},
		{"", v1alpha1.PlaygroundPolicyEnabled, true},
		{"", v1alpha1.PlaygroundPolicyForbidden, false},
		{v1alpha1.PlaygroundEnabled, v1alpha1.PlaygroundPolicyAllowed, true},
		{v1alpha1.PlaygroundDisabled, v1alpha1.PlaygroundPolicyEnabled, false},
	} {
		class := &v1alpha1.PatternClass{}
		class.Spec.Plane.Playground = tt.class
		got := Playground(tt.spec, class)
		if got != tt.want {
			t.Errorf("the object says %q and the class %q: %t, want %t", tt.spec, tt.class, got, tt.want)
		}
		want := []v1alpha1.Endpoint{{Name: "http", URL: "http://host"}}
		if tt.want {
			want = append(want, v1alpha1.Endpoint{Name: "playground", URL: "http://host/"})
		}
		if diff := cmp.Diff(want, WithPlayground(Endpoints("host", nil), got)); diff != "" {
			t.Errorf("endpoints (-want +got):\n%s", diff)
		}
	}
}
