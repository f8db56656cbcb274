package pattern

import (
	"context"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secretReader reads Secrets that users name. Those with the label
// patterns.trellis.dev/watch are in the cache; the others are read from the API
// server once and remembered until something says that they are wrong, so that
// an operator at rest asks for nothing.
type secretReader struct {
	cached, live client.Reader
	mu           sync.Mutex
	seen         map[client.ObjectKey]map[string][]byte
}

func newSecretReader(cached, live client.Reader) *secretReader {
	return &secretReader{cached: cached, live: live, seen: map[client.ObjectKey]map[string][]byte{}}
}

// read returns the data of a Secret, or a NotFound error.
func (s *secretReader) read(ctx context.Context, key client.ObjectKey) (map[string][]byte, error) {
	if len(content.IsPathSegmentName(key.Name)) > 0 {
		// The API server is not even asked for such a name, and so would not say that there is none.
		return nil, apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
	}
	var secret corev1.Secret
	err := s.cached.Get(ctx, key, &secret)
	if err == nil {
		s.forget(key)
		return secret.Data, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, err
	}
	s.mu.Lock()
	data, ok := s.seen[key]
	s.mu.Unlock()
	if ok {
		return maps.Clone(data), nil
	}
	if err := s.live.Get(ctx, key, &secret); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.seen[key] = secret.Data
	s.mu.Unlock()
	return maps.Clone(secret.Data), nil
}

// forget makes the next read ask the API server.
func (s *secretReader) forget(key client.ObjectKey) {
	s.mu.Lock()
	delete(s.seen, key)
	s.mu.Unlock()
}
