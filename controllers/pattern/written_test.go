package pattern

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

func version(uid, version string) *v1alpha1.RealtimeGateway {
	return &v1alpha1.RealtimeGateway{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: "chat", UID: types.UID(uid), ResourceVersion: version,
	}}
}

func configAt(version string) client.Object {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "chat-rtg", ResourceVersion: version}}
}

func TestTheCacheShowsWhatWasWritten(t *testing.T) {
	begin := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		owner v1alpha1.Pattern
		live  client.Object
		after time.Duration
		want  bool
	}{
		"nothing yet":                        {version("a", "5"), nil, 0, false},
		"an older one":                       {version("a", "5"), configAt("9"), 0, false},
		"an older one with fewer digits":     {version("a", "5"), configAt("99"), time.Second, false},
		"what was written":                   {version("a", "5"), configAt("100"), 0, true},
		"a newer one":                        {version("a", "5"), configAt("101"), 0, true},
		"nothing, and long ago":              {version("a", "5"), nil, showWithin, true},
		"nothing, of another of that name":   {version("b", "5"), nil, 0, true},
		"nothing, of what was never written": {&v1alpha1.RealtimeGateway{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, nil, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWritten()
			w.noteChild(version("a", "5"), configAt("100"), begin)
			live := c.live
			if got := w.shows(c.owner, configAt(""), live, begin.Add(c.after)); got != c.want {
				t.Errorf("shows is %v and not %v", got, c.want)
			}
		})
	}
}

func TestWhatWasShownOnceIsForgotten(t *testing.T) {
	w := newWritten()
	w.noteChild(version("a", "5"), configAt("100"), time.Unix(1000, 0))
	if !w.shows(version("a", "5"), configAt(""), configAt("100"), time.Unix(1000, 0)) {
		t.Fatal("the write is not shown")
	}
	if !w.shows(version("a", "5"), configAt(""), nil, time.Unix(1000, 0)) {
		t.Error("a child that was shown and is gone is waited for")
	}
}

func TestTheCacheShowsTheObjectItself(t *testing.T) {
	w := newWritten()
	if !w.showsSelf(version("a", "5")) {
		t.Error("an object that was never written is waited for")
	}
	w.note(version("a", "10"))
	if w.showsSelf(version("a", "9")) {
		t.Error("an older one is not waited for")
	}
	if !w.showsSelf(version("a", "10")) {
		t.Error("what was written is waited for")
	}
	w.forget(client.ObjectKeyFromObject(version("a", "")))
	if !w.showsSelf(version("a", "9")) {
		t.Error("what is forgotten is waited for")
	}
}
