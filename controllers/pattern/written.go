package pattern

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// showWithin is how long the cache is given to show a write to a child. After that it is believed again: what
// was written may have been deleted since, and the cache never have seen it.
const showWithin = 5 * time.Second

// written remembers the last writes of this process until the cache shows them. To compare a plan with what
// was there before would be to write again what is written already.
type written struct {
	mu sync.Mutex
	of map[types.NamespacedName]*writes
}

// writes to an object, and to children of it.
type writes struct {
	uid      types.UID
	self     string
	children map[string]write
}

type write struct {
	version string
	at      time.Time
}

func newWritten() *written { return &written{of: map[types.NamespacedName]*writes{}} }

// forget an object that is gone.
func (w *written) forget(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.of, key)
}

// note a write to the object itself.
func (w *written) note(obj v1alpha1.Pattern) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entry(obj).self = obj.GetResourceVersion()
}

// noteChild notes a write to a child.
func (w *written) noteChild(obj v1alpha1.Pattern, child client.Object, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.entry(obj)
	if e.children == nil {
		e.children = map[string]write{}
	}
	e.children[childKey(child)] = write{version: child.GetResourceVersion(), at: now}
}

// forgetChild forgets the writes to a child that was deleted.
func (w *written) forgetChild(obj v1alpha1.Pattern, child client.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.entry(obj).children, childKey(child))
}

// entry of an object; what was written for another of the same name is dropped.
func (w *written) entry(obj v1alpha1.Pattern) *writes {
	key := client.ObjectKeyFromObject(obj)
	e := w.of[key]
	if e == nil || e.uid != obj.GetUID() {
		e = &writes{uid: obj.GetUID()}
		w.of[key] = e
	}
	return e
}

// showsSelf is false while the cache, which obj is from, does not show the last write to the object: a status
// that is compared with an older one would leave out what the last write changed.
func (w *written) showsSelf(obj v1alpha1.Pattern) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.of[client.ObjectKeyFromObject(obj)]
	return e == nil || !precedes(obj.GetResourceVersion(), e.self)
}

// shows is false while live, a child as the cache knows it or nil, is older than the last write to it.
func (w *written) shows(obj v1alpha1.Pattern, child, live client.Object, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.of[client.ObjectKeyFromObject(obj)]
	if e == nil || e.uid != obj.GetUID() {
		return true
	}
	last, ok := e.children[childKey(child)]
	if !ok {
		return true
	}
	if (live == nil || precedes(live.GetResourceVersion(), last.version)) && now.Sub(last.at) < showWithin {
		return false
	}
	if delete(e.children, childKey(child)); len(e.children) == 0 {
		e.children = nil
	}
	return true
}

// precedes is true when version is before another one. What can not be compared is not.
func precedes(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && order < 0
}
