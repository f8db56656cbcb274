package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
)

// fieldManager of what the mover writes.
const fieldManager = "trellis-mover"

// callTimeout bounds a read or a write.
const callTimeout = 10 * time.Second

// Store publishes a table in a ConfigMap, which somebody else makes.
type Store struct {
	client          kubernetes.Interface
	namespace, name string
}

// NewStore of a ConfigMap.
func NewStore(client kubernetes.Interface, namespace, name string) *Store {
	return &Store{client: client, namespace: namespace, name: name}
}

var _ table.Store = (*Store)(nil)

// Read implements table.Store: it asks etcd, not a cache of the API server.
func (s *Store) Read(ctx context.Context) (table.State, table.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cm, err := s.client.CoreV1().ConfigMaps(s.namespace).Get(ctx, s.name, metav1.GetOptions{})
	if err != nil {
		return table.State{}, "", fmt.Errorf("read the ConfigMap %s: %w", s.name, err)
	}
	state, err := decode(cm)
	return state, table.Version(cm.ResourceVersion), err
}

// Write implements table.Store. Only the data is written; the rest of the ConfigMap is its maker's.
func (s *Store) Write(ctx context.Context, state table.State, version table.Version) (table.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	data, err := encode(state)
	if err != nil {
		return "", err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": string(version)}, "data": data})
	if err != nil {
		return "", err
	}
	cm, err := s.client.CoreV1().ConfigMaps(s.namespace).Patch(ctx, s.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	switch {
	case apierrors.IsConflict(err):
		return "", fmt.Errorf("write the ConfigMap %s: %w", s.name, table.ErrConflict)
	case err != nil:
		return "", fmt.Errorf("write the ConfigMap %s: %w", s.name, err)
	}
	return table.Version(cm.ResourceVersion), nil
}

// Watch implements table.Store. Each time that a watch begins, what there is is read from etcd first.
func (s *Store) Watch(ctx context.Context, seen func(table.State)) error {
	return follow(ctx, s.client, s.namespace, s.name, func(cm *corev1.ConfigMap) error {
		if cm == nil {
			seen(table.State{})
			return nil
		}
		state, err := decode(cm)
		if err == nil {
			seen(state)
		}
		return err
	})
}

// rest is what is published besides the table.
type rest struct {
	Target       ring.Table          `json:"target"`
	Base         ring.Table          `json:"base,omitzero"`
	History      []table.Membership  `json:"history"`
	Dropping     []ring.Move         `json:"dropping,omitempty"`
	Failures     []table.Failure     `json:"failures,omitempty"`
	Incarnations map[string][]string `json:"incarnations,omitempty"`
	Term         uint64              `json:"term"`
}

func encode(s table.State) (map[string]string, error) {
	served, err := json.Marshal(s.Table)
	if err != nil {
		return nil, fmt.Errorf("encode the table: %w", err)
	}
	other, err := json.Marshal(rest{Target: s.Target, Base: s.Base, History: s.History, Dropping: s.Dropping, Failures: s.Failures, Incarnations: s.Incarnations, Term: s.Term})
	if err != nil {
		return nil, fmt.Errorf("encode the table's state: %w", err)
	}
	return map[string]string{planeconfig.RingTableKey: string(served), planeconfig.RingStateKey: string(other)}, nil
}

// decode what is published; nothing of it is a State that was never written. One half without the other is refused, as
// somebody else wrote it.
func decode(cm *corev1.ConfigMap) (table.State, error) {
	served, hasTable := cm.Data[planeconfig.RingTableKey]
	other, hasRest := cm.Data[planeconfig.RingStateKey]
	if !hasTable && !hasRest {
		return table.State{}, nil
	}
	if !hasTable || !hasRest {
		return table.State{}, fmt.Errorf("the ConfigMap %s has one of %s and %s only: remove it, and both are made anew", cm.Name, planeconfig.RingTableKey, planeconfig.RingStateKey)
	}
	var s table.State
	var r rest
	err := errors.Join(json.Unmarshal([]byte(served), &s.Table), json.Unmarshal([]byte(other), &r))
	if err == nil {
		err = errors.Join(s.Table.Validate(), r.Target.Validate())
	}
	if err != nil {
		return table.State{}, fmt.Errorf("the ConfigMap %s has no table that this version can read: %w", cm.Name, err)
	}
	s.Target, s.Base, s.History, s.Dropping, s.Failures, s.Incarnations, s.Term = r.Target, r.Base, r.History, r.Dropping, r.Failures, r.Incarnations, r.Term
	return s, nil
}
