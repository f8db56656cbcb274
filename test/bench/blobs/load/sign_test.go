package load

import (
	"net/http"
	"testing"
)

func TestBothSidesSignTheSame(t *testing.T) {
	t.Parallel()
	counting := NewCounting()
	signers, err := NewSigners(&http.Client{Transport: counting})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range signers {
		if err := s.Agree(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := counting.All.Load(); n != 0 || len(signers) != 3 {
		t.Errorf("%d calls to the store by %d signers, want none by 3", n, len(signers))
	}
}
