package pattern

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
		"a kind that takes events": {[]v1alpha1.Sink{ref("RealtimeGateway", "rooms")}, map[string]Receiver{"to-rooms": {URL: "http://rooms.apps.svc.local", BindingSecret: "rooms-binding"}}, ""},
		"in the own namespace": {[]v1alpha1.Sink{{Name: "a", Ref: &v1alpha1.SinkReference{Kind: "RealtimeGateway", Name: "rooms", Namespace: "apps"}}},
			map[string]Receiver{"a": {URL: "http://rooms.apps.svc.local", BindingSecret: "rooms-binding"}}, ""},
		"in another namespace": {[]v1alpha1.Sink{{Name: "a", Ref: &v1alpha1.SinkReference{Kind: "RealtimeGateway", Name: "rooms", Namespace: "other"}}},
			map[string]Receiver{"a": {URL: "http://rooms.other.svc.local", BindingSecret: "sender-realtimegateway-sink-a", Copied: true}}, ""},
		"a kind that takes none":   {[]v1alpha1.Sink{ref("RealtimeGateway", "rooms"), ref("Engine", "store")}, nil, refused(1, "Engine")},
		"a kind that is not known": {[]v1alpha1.Sink{ref("Pod", "a")}, nil, refused(0, "Pod")},
	} {
		t.Run(name, func(t *testing.T) {
			obj := makeGateway("sender").obj()
			obj.Namespace, obj.Spec.Sinks = "apps", c.sinks
			got, err := receivers(kinds, kinds[0], obj, "local")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("receivers (-want +got):\n%s", diff)
			}
			if text := errorText(err); text != c.err {
				t.Errorf("error is %q, want %q", text, c.err)
			}
		})
	}
}

func TestCheckSinks(t *testing.T) {
	for name, c := range map[string]struct {
		sink v1alpha1.Sink
		want string
	}{
		"nothing":   {v1alpha1.Sink{}, ""},
		"all right": {v1alpha1.Sink{Filter: "event.data.n > 1", Mapping: &v1alpha1.SinkMapping{Subject: "event.id", Data: "[event.data]"}}, ""},
		"filter":    {v1alpha1.Sink{Filter: "event.n > 1"}, "spec.sinks[0].filter is no CEL that can be used: column 6: undefined field 'n': an event has id, type, source, subject, time and data"},
		"subject":   {v1alpha1.Sink{Mapping: &v1alpha1.SinkMapping{Subject: "1"}}, "spec.sinks[0].mapping.subject is no CEL that can be used: it is of the type int: write one that gives a string, such as 'user-' + event.data.metadata.user or string(event.data.attempt)"},
		"data":      {v1alpha1.Sink{Mapping: &v1alpha1.SinkMapping{Data: "event"}}, "spec.sinks[0].mapping.data is no CEL that can be used: it is of the type trellis.Event: write one that gives what JSON has, such as event.data or {'id': event.data.id}"},
	} {
		err := checkSinks([]v1alpha1.Sink{c.sink})
		if text := errorText(err); text != c.want {
			t.Errorf("%s: error is %q, want %q", name, text, c.want)
		}
		if err != nil && reasonOf(err) != v1alpha1.ReasonSpecInvalid {
			t.Errorf("%s: reason is %s", name, reasonOf(err))
		}
	}
}

func TestPermitted(t *testing.T) {
	to := &v1alpha1.SinkReference{Kind: "RealtimeGateway", Name: "rooms", Namespace: "other"}
	grant := func(kind, namespace, toKind, name string) v1alpha1.SinkGrant {
		return v1alpha1.SinkGrant{Spec: v1alpha1.SinkGrantSpec{
			From: []v1alpha1.SinkGrantFrom{{Kind: "Other", Namespace: "apps"}, {Kind: kind, Namespace: namespace}},
			To:   []v1alpha1.SinkGrantTo{{Kind: "Other"}, {Kind: toKind, Name: name}},
		}}
	}
	going := grant("JobQueue", "apps", "RealtimeGateway", "rooms")
	going.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	for name, c := range map[string]struct {
		grants []v1alpha1.SinkGrant
		want   bool
	}{
		"none":              {nil, false},
		"by name":           {[]v1alpha1.SinkGrant{grant("JobQueue", "apps", "RealtimeGateway", "rooms")}, true},
		"of the kind":       {[]v1alpha1.SinkGrant{grant("JobQueue", "apps", "RealtimeGateway", "")}, true},
		"another":           {[]v1alpha1.SinkGrant{grant("JobQueue", "apps", "RealtimeGateway", "chat")}, false},
		"another kind":      {[]v1alpha1.SinkGrant{grant("JobQueue", "apps", "JobQueue", "rooms")}, false},
		"another namespace": {[]v1alpha1.SinkGrant{grant("JobQueue", "apps2", "RealtimeGateway", "rooms")}, false},
		"another sender":    {[]v1alpha1.SinkGrant{grant("RealtimeGateway", "apps", "RealtimeGateway", "rooms")}, false},
		"one that goes":     {[]v1alpha1.SinkGrant{going}, false},
		"halves of two":     {[]v1alpha1.SinkGrant{grant("JobQueue", "apps", "X", ""), grant("X", "apps", "RealtimeGateway", "rooms")}, false},
	} {
		if got := permitted(c.grants, "JobQueue", "apps", to); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
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
