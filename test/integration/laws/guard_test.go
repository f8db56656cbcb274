//go:build integration

package laws

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

// guard looks at every deletion that an operator sends, and at what it writes where a ShardSet's table is.
type guard struct {
	mu       sync.Mutex
	blind    []error
	deleted  []metav1.ObjectMeta
	deletion sync.Mutex
}

func (g *guard) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		g.demandNoTable(r)
		if r.Method != http.MethodDelete || framework.IsLease(r) {
			return next.RoundTrip(r)
		}
		g.deletion.Lock()
		defer g.deletion.Unlock()
		g.demandUID(r)
		before := look(next, r)
		resp, err := next.RoundTrip(r)
		if err == nil && resp.StatusCode < 300 {
			g.mu.Lock()
			g.deleted = append(g.deleted, before)
			g.mu.Unlock()
		}
		return resp, err
	})
}

// demandUID notes a deletion that would hit another object of the same name.
func (g *guard) demandUID(r *http.Request) {
	var options metav1.DeleteOptions
	body, err := readBody(r)
	if err == nil {
		err = json.Unmarshal(body, &options)
	}
	if err == nil && options.Preconditions != nil && options.Preconditions.UID != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blind = append(g.blind, fmt.Errorf("DELETE %s has no UID as its precondition", r.URL.Path))
}

// demandNoTable notes a write of what the mover of a ShardSet publishes.
func (g *guard) demandNoTable(r *http.Request) {
	if !framework.IsWrite(r) || !strings.HasSuffix(path.Dir(r.URL.Path), "/configmaps") || !strings.HasSuffix(r.URL.Path, ringSuffix) {
		return
	}
	var sent struct{ Data, BinaryData json.RawMessage }
	body, err := readBody(r)
	if err == nil && json.Unmarshal(body, &sent) == nil && sent.Data == nil && sent.BinaryData == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blind = append(g.blind, fmt.Errorf("%s %s writes the table, which is the mover's", r.Method, r.URL.Path))
}

// look reads what a deletion is about to hit.
func look(next http.RoundTripper, r *http.Request) metav1.ObjectMeta {
	var found struct{ Metadata metav1.ObjectMeta }
	get := r.Clone(r.Context())
	get.Method, get.Body, get.ContentLength = http.MethodGet, nil, 0
	resp, err := next.RoundTrip(get)
	if err != nil {
		return found.Metadata
	}
	defer func() { _ = resp.Body.Close() }()
	_ = json.NewDecoder(resp.Body).Decode(&found)
	return found.Metadata
}

// verdict is what was wrong with the deletions.
func (g *guard) verdict() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.blind...)
}

// hit says which objects of living patterns were deleted.
func (g *guard) hit(ns string) error {
	patterns, err := framework.Patterns(ctx, ns)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var found []error
	for _, meta := range g.deleted {
		for _, p := range patterns {
			if owner := metav1.GetControllerOfNoCopy(&meta); owner != nil && owner.UID == p.GetUID() {
				found = append(found, fmt.Errorf("%s was deleted, which belongs to %s that lives", meta.Name, nameOf(p)))
			}
		}
	}
	return errors.Join(found...)
}

// readBody reads what a request sends and leaves it to be sent.
func readBody(r *http.Request) ([]byte, error) {
	if r.GetBody == nil {
		return nil, errors.New("no body")
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(body)
}
