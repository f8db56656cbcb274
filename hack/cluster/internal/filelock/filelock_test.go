package filelock

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

func TestOneHolderAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Try(path); !errors.Is(err, ErrHeld) {
		t.Errorf("a held lock: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := Acquire(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting in vain: %v", err)
	}
	acquired := make(chan error, 1)
	go func() {
		second, err := Acquire(t.Context(), path)
		if err == nil {
			second.Release()
		}
		acquired <- err
	}()
	first.Remove() // whoever waits must get a lock on the file of this name, not on the removed one
	if err := <-acquired; err != nil {
		t.Error(err)
	}
	third, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	third.Release()
}
