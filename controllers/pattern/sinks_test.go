package pattern

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// receives is the kind RealtimeGateway with a place for events.
func receives() kind {
	return Definition[*v1alpha1.RealtimeGateway]{
		Kind: "RealtimeGateway",
		Receiver: func(key ReceiverKey) Receiver {
			return Receiver{URL: fmt.Sprintf("http://%s.%s.svc.%s", key.Name, key.Namespace, key.ClusterDomain), BindingSecret: key.Name + "-binding"}
		},
	}
}

func TestReceivers(t *testing.T) {
	kinds := []kind{receives(), Definition[*v1alpha1.Engine]{Kind: "Engine"}}
	ref := func(kind, name string) v1alpha1.Sink {
		return v1alpha1.Sink{Name: "to-" + name, Ref: &v1alpha1.SinkReference{Kind: kind, Name: name}}
	}
	refused := func(i int, kind string) string {
		return fmt.Sprintf("spec.sinks[%d].ref.kind is %q, which takes no events: choose one of RealtimeGateway, or set url", i, kind)
	}
	for name, c := range map[string]struct {
		sinks []v1alpha1.Sink
		want  map[string]Receiver
		err   string
	}{
		"none":                     {nil, nil, ""},
		"by URL":                   {[]v1alpha1.Sink{{Name: "a", URL: "http://example.com"}}, nil, ""},
		"a kind that takes events": {[]v1alpha1.Sink{ref("RealtimeGateway", "rooms")}, map[string]Receiver{"to-rooms": {"http://rooms.apps.svc.local", "rooms-binding"}}, ""},
		"a kind that takes none":   {[]v1alpha1.Sink{ref("RealtimeGateway", "rooms"), ref("Engine", "store")}, nil, refused(1, "Engine")},
		"a kind that is not known": {[]v1alpha1.Sink{ref("Pod", "a")}, nil, refused(0, "Pod")},
	} {
		t.Run(name, func(t *testing.T) {
			obj := makeGateway("sender").obj()
			obj.Namespace, obj.Spec.Sinks = "apps", c.sinks
			got, err := receivers(kinds, obj, "local")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("receivers (-want +got):\n%s", diff)
			}
			if text := errorText(err); text != c.err {
				t.Errorf("error is %q, want %q", text, c.err)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestReasonOfAPlansError(t *testing.T) {
	cause := errors.New("cause")
	invalid := fmt.Errorf("plan: %w", Invalid("spec.a is wrong: %w", cause))
	if got := reasonOf(invalid); got != v1alpha1.ReasonSpecInvalid || !errors.Is(invalid, cause) {
		t.Errorf("reason of %v is %s", invalid, got)
	}
	if got := reasonOf(cause); got != v1alpha1.ReasonReferenceInvalid {
		t.Errorf("reason is %s", got)
	}
}
