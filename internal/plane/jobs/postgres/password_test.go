package postgres

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// TestANewPasswordIsTakenUp shows that a queue which runs has the engine take the Secret's password.
func TestANewPasswordIsTakenUp(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	with := func(password string) string { return strings.Replace(uri, enginetest.PostgresPassword, password, 1) }
	dir := t.TempDir()
	for name, content := range map[string]string{"uri": with("newer"), planeconfig.KeyPreviousPassword: enginetest.PostgresPassword} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(Config{Engine: planeconfig.Engine{URIFile: filepath.Join(dir, "uri")}, Schema: "q"}, jobs.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	s.target.Mounted = -1
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	lets := func(password string) bool {
		c, err := pgx.Connect(t.Context(), with(password))
		if err == nil {
			_ = c.Close(t.Context())
		}
		return err == nil
	}
	for deadline := time.Now().Add(2 * time.Minute); !lets("newer"); {
		if time.Now().After(deadline) {
			t.Fatal("the new password is not let in")
		}
	}
	if lets(enginetest.PostgresPassword) {
		t.Error("the password before is let in still")
	}
}
