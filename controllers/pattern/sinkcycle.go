package pattern

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// node is a pattern in the graph that sinks make.
type node struct{ kind, namespace, name string }

// label of a node, as somebody in the namespace would write it.
func (n node) label(namespace string) string {
	if n.namespace == namespace {
		return n.kind + "/" + n.name
	}
	return n.namespace + "/" + n.kind + "/" + n.name
}

func (n node) key() client.ObjectKey { return client.ObjectKey{Namespace: n.namespace, Name: n.name} }

// next are the patterns that an object's sinks name.
func next(obj v1alpha1.Pattern) []node {
	var out []node
	for _, s := range obj.GetPatternSpec().Sinks {
		if s.Ref != nil {
			out = append(out, node{s.Ref.Kind, sinkNamespace(obj, s.Ref), s.Ref.Name})
		}
	}
	return out
}

// graph is what findCycle asks.
type graph struct {
	// get returns nil for what does not exist.
	get func(node) (v1alpha1.Pattern, error)
	// granted is false for a sink that is not permitted: nothing goes by it, and it closes no circle.
	granted func(from node, to *v1alpha1.SinkReference) (bool, error)
}

// next are the patterns that a node's events go to.
func (g graph) next(at node, obj v1alpha1.Pattern) ([]node, error) {
	var out []node
	for _, s := range obj.GetPatternSpec().Sinks {
		if s.Ref == nil {
			continue
		}
		granted, err := g.granted(at, s.Ref)
		if err != nil {
			return nil, err
		}
		if granted {
			out = append(out, node{s.Ref.Kind, sinkNamespace(obj, s.Ref), s.Ref.Name})
		}
	}
	return out, nil
}

// suspect is an object of a cycle; the last of them in their order is to be refused. Whoever was refused for one stays so
// until it changes; else it is who was changed and has not been accepted since; and else, where two came at once, the younger.
type suspect struct {
	rank    int
	created metav1.Time
	node
}

const (
	wasAccepted = iota
	wasChanged
	wasRefused
)

func suspectOf(n node, obj v1alpha1.Pattern) suspect {
	s := suspect{rank: wasChanged, created: obj.GetCreationTimestamp(), node: n}
	accepted := condition(obj.GetPatternStatus().Conditions, v1alpha1.ConditionAccepted)
	switch {
	case accepted == nil:
	case accepted.Status == metav1.ConditionFalse && accepted.Reason == v1alpha1.ReasonSinkCycle:
		s.rank = wasRefused
	case accepted.Status == metav1.ConditionTrue && accepted.ObservedGeneration == obj.GetGeneration():
		s.rank = wasAccepted
	}
	return s
}

func (s suspect) before(o suspect) bool {
	return cmp.Or(
		cmp.Compare(s.rank, o.rank), s.created.Compare(o.created.Time),
		strings.Compare(s.namespace, o.namespace), strings.Compare(s.kind, o.kind), strings.Compare(s.name, o.name),
	) < 0
}

// findCycle returns the shortest way from an object back to it, itself at both ends, in which it is the one to be refused;
// nil where there is none.
func findCycle(start node, obj v1alpha1.Pattern, in graph) ([]node, error) {
	own := suspectOf(start, obj)
	from := map[node]node{}
	way := func(last node) []node {
		out := []node{start}
		for at := last; at != start; at = from[at] {
			out = append(out, at)
		}
		out = append(out, start)
		slices.Reverse(out)
		return out
	}
	queue := []node{start}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		current := obj
		if at != start {
			var err error
			if current, err = in.get(at); err != nil {
				return nil, err
			}
			if current == nil || !suspectOf(at, current).before(own) {
				continue
			}
		}
		all, err := in.next(at, current)
		if err != nil {
			return nil, err
		}
		for _, to := range all {
			if to == start {
				return way(at), nil
			}
			if _, seen := from[to]; !seen {
				from[to] = at
				queue = append(queue, to)
			}
		}
	}
	return nil, nil
}

// refuseCycle refuses an object whose sinks lead back to it, where it is the one that closed the circle.
func (r *Reconciler) refuseCycle(ctx context.Context, s *scope) error {
	start := node{r.kind.name(), s.obj.GetNamespace(), s.obj.GetName()}
	granted := func(from node, to *v1alpha1.SinkReference) (bool, error) { return r.granted(ctx, from, to) }
	cycle, err := findCycle(start, s.before, graph{granted: granted, get: func(n node) (v1alpha1.Pattern, error) {
		k := kindNamed(r.kinds, n.kind)
		if k == nil {
			return nil, nil
		}
		obj := k.newObject()
		if err := r.client.Get(ctx, n.key(), obj); err != nil {
			if apierrors.IsNotFound(err) {
				return nil, nil
			}
			return nil, fmt.Errorf("follow the sinks: %w", err)
		}
		return obj, nil
	}})
	if err != nil || cycle == nil {
		return err
	}
	names := make([]string, len(cycle))
	for i, n := range cycle {
		names[i] = n.label(s.obj.GetNamespace())
	}
	s.refuse(v1alpha1.ReasonSinkCycle, fmt.Sprintf(
		"the sinks lead round, so that each event would make others for ever: %s: remove one of these sinks", strings.Join(names, " → ")), true)
	s.again = lookAgain
	return nil
}

// upstream are the objects of this reconciler's kind whose events come to an object, by whatever way. Those that name it
// are found without looking at others.
func (r *Reconciler) upstream(ctx context.Context, k kind, to client.Object, direct bool) ([]node, error) {
	all := map[node][]node{}
	for _, from := range r.kinds {
		if direct && from.name() != r.kind.name() {
			continue
		}
		list, err := r.listOf(from)
		if err != nil {
			return nil, err
		}
		if err := r.client.List(ctx, list); err != nil {
			return nil, fmt.Errorf("list who sends: %w", err)
		}
		if err := meta.EachListItem(list, func(o runtimeObject) error {
			p := o.(v1alpha1.Pattern)
			for _, n := range next(p) {
				all[n] = append(all[n], node{from.name(), p.GetNamespace(), p.GetName()})
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	end := node{k.name(), to.GetNamespace(), to.GetName()}
	if direct {
		return all[end], nil
	}
	seen := map[node]bool{}
	var out []node
	for queue := []node{end}; len(queue) > 0; queue = queue[1:] {
		for _, n := range all[queue[0]] {
			if seen[n] {
				continue
			}
			seen[n] = true
			queue = append(queue, n)
			if n.kind == r.kind.name() {
				out = append(out, n)
			}
		}
	}
	return out, nil
}
