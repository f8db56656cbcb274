package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The server and its probe are processes of their own, and may note the same thing at the same moment.
func TestNotesAtOnce(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"scripts/members.sh", "scripts/postgres/member.sh"} {
		t.Run(filepath.Base(script), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(script)
			if err != nil {
				t.Fatal(err)
			}
			at := strings.Index(string(text), "note() {")
			if at < 0 {
				t.Fatal("it has no note()")
			}
			note, _, _ := strings.Cut(string(text)[at:], "\n")
			dir := t.TempDir()
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					cmd := exec.Command("sh", "-euc", note+"\ni=0; while [ $i -lt 300 ]; do note taken same; i=$((i + 1)); done")
					cmd.Dir = dir
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Errorf("%v: %s", err, out)
					}
				})
			}
			all.Wait()
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("beside the note there is %v (%v)", left, err)
			}
		})
	}
}
