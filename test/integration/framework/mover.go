//go:build integration

package framework

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// Mover plays, in one namespace, that router of each ShardSet which publishes its table: it does what the configuration asks for, a
// step at a time, and carries nothing over.
type Mover struct {
	namespace string
	mu        sync.Mutex
	resting   bool
}

// moverOwner is its field manager: what it writes is not the operator's.
const moverOwner = client.FieldOwner("mover")

// PlayMover has a Mover work until the test ends.
func PlayMover(t testing.TB, namespace string) *Mover {
	t.Helper()
	m := &Mover{namespace: namespace}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				m.work(ctx)
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return m
}

// Rest has it take no step more until Resume.
func (m *Mover) Rest() { m.rest(true) }

// Resume ends a Rest.
func (m *Mover) Resume() { m.rest(false) }

func (m *Mover) rest(resting bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.resting = resting
}

func (m *Mover) work(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.resting {
		return
	}
	published, configs, err := tables(ctx, m.namespace)
	if err != nil {
		return
	}
	for i := range published {
		cm := &published[i]
		if data := nextStep(cm, configs[cm.Name]); data != nil {
			before := cm.DeepCopy()
			cm.Data = data
			_ = Admin.Patch(ctx, cm, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), moverOwner)
		}
	}
}

// tables are the ConfigMaps for the tables of a namespace's ShardSets, and the configurations of their routers, by the names of those.
func tables(ctx context.Context, namespace string) ([]corev1.ConfigMap, map[string]*planeconfig.Shards, error) {
	var list corev1.ConfigMapList
	if err := Admin.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelKind: "ShardSet"}); err != nil {
		return nil, nil, fmt.Errorf("list the tables of ShardSets: %w", err)
	}
	configs := map[string]*planeconfig.Shards{}
	for _, cm := range list.Items {
		if c, err := planeconfig.Decode([]byte(cm.Data[planeconfig.FileName])); err == nil && cm.DeletionTimestamp.IsZero() {
			configs[c.Shards.RingConfigMap] = c.Shards
		}
	}
	return slices.DeleteFunc(list.Items, func(cm corev1.ConfigMap) bool { return configs[cm.Name] == nil || !cm.DeletionTimestamp.IsZero() }), configs, nil
}

// Moved is nil when there is nothing to publish in a namespace, and each of its ShardSets has seen what was.
func Moved(ctx context.Context, namespace string) error {
	published, configs, err := tables(ctx, namespace)
	if err != nil {
		return err
	}
	for i := range published {
		cm := &published[i]
		if nextStep(cm, configs[cm.Name]) != nil {
			return fmt.Errorf("what ConfigMap %s publishes is not what is asked for", cm.Name)
		}
		state, err := planeconfig.ParseRing(cm.Data)
		if err != nil {
			return err
		}
		var s v1alpha1.ShardSet
		if err := Admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: cm.Labels[v1alpha1.LabelName]}, &s); err != nil {
			return err
		}
		if s.Status.Ring == nil || s.Status.Ring.Epoch != int64(state.Table.Epoch) {
			return fmt.Errorf("the status of ShardSet %s is of another table than that which is published", s.Name)
		}
	}
	return nil
}

// nextStep is the data after it, nil where there is nothing to do. What can not be read is left to whoever has damaged it.
func nextStep(cm *corev1.ConfigMap, c *planeconfig.Shards) map[string]string {
	state, err := planeconfig.ParseRing(cm.Data)
	if err != nil || state.Published() && len(state.History) == 0 {
		return nil
	}
	var members []ring.Member
	for _, m := range c.Members {
		members = append(members, ring.Member{ID: m.ID, Weight: m.Weight})
	}
	history := state.History
	switch n := len(history); {
	case !state.Published():
		state.Target, state.History = begin(c, members)
		state.Table = state.Target.Clone()
	case !slices.Equal(history[n-1].Members, members):
		state.Target = ring.Rebalance(state.Target, members)
		state.Target.Epoch = history[n-1].Epoch + 1
		state.History = append(history, planeconfig.RingMembership{Epoch: state.Target.Epoch, Members: members})
	case state.Table.Epoch != state.Target.Epoch:
		state.Table = state.Target.Clone()
	default:
		return nil
	}
	return Published(state)
}

// begin anew, or where the history of a table that was lost ends.
func begin(c *planeconfig.Shards, members []ring.Member) (ring.Table, []planeconfig.RingMembership) {
	var history []planeconfig.RingMembership
	for _, h := range c.History {
		one := planeconfig.RingMembership{Epoch: h.Epoch}
		for _, m := range h.Members {
			one.Members = append(one.Members, ring.Member{ID: m.ID, Weight: m.Weight})
		}
		history = append(history, one)
	}
	if len(history) == 0 {
		history = []planeconfig.RingMembership{{Epoch: 1, Members: members}}
	}
	t, err := ring.Replay(c.Partitions, history)
	if err != nil {
		// Of a configuration that planeconfig has accepted.
		panic(err)
	}
	return t, history
}

// Published is the data of a ConfigMap that has a state.
func Published(s planeconfig.RingState) map[string]string {
	out := map[string]string{}
	for key, v := range map[string]any{planeconfig.RingTableKey: s.Table, planeconfig.RingStateKey: s} {
		text, err := json.Marshal(v)
		if err != nil {
			// Of a table that has been read, or was made here.
			panic(err)
		}
		out[key] = string(text)
	}
	return out
}
