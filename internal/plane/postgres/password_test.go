package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func TestRotation(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	for role, test := range map[string]func(rotated){
		"when-every-replica-has-read": whenEveryReplicaHasRead, "two-while-the-engine-was-away": twoWhileTheEngineWasAway, "calls-go-on": callsGoOn,
		"by-a-database-that-runs": byADatabaseThatRuns,
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			test(newRotated(t, uri, role, "p0"))
		})
	}
}

// rotated is the account of a consumer at a server, whose password changes.
type rotated struct {
	t         *testing.T
	uri, role string
}

func newRotated(t *testing.T, uri, role, password string) rotated {
	t.Helper()
	c, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	for _, sql := range []string{
		fmt.Sprintf("CREATE ROLE %q LOGIN PASSWORD '%s'", role, password), fmt.Sprintf("CREATE DATABASE %q OWNER %q", role, role),
	} {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return rotated{t, uri, role}
}

func (r rotated) as(password string) string {
	u, err := url.Parse(r.uri)
	if err != nil {
		r.t.Fatal(err)
	}
	u.User, u.Path = url.UserPassword(r.role, password), "/"+r.role
	return u.String()
}

// replica has the Secret as its kubelet brought it.
func (r rotated) replica(password, previous string) *Target {
	t := &Target{Engine: planeconfig.Engine{URIFile: filepath.Join(r.t.TempDir(), "uri")}, Schema: "s"}
	r.mount(t, password, previous)
	return t
}

func (r rotated) mount(t *Target, password, previous string) {
	r.t.Helper()
	dir := filepath.Dir(t.Engine.URIFile)
	files := map[string]string{"uri": r.as(password)}
	if previous != "" {
		files[planeconfig.KeyPreviousPassword] = previous
	}
	for name, content := range files {
		// As a kubelet does: nobody reads half of a file.
		next := filepath.Join(dir, "."+name)
		if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
			r.t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, name)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// takes says which of the passwords the engine takes.
func (r rotated) takes(want string, refused ...string) {
	r.t.Helper()
	for _, password := range append([]string{want}, refused...) {
		c, err := pgx.Connect(r.t.Context(), r.as(password))
		if err == nil {
			_ = c.Close(r.t.Context())
		}
		if (password == want) != (err == nil) || (err != nil && !isRefusal(err)) {
			r.t.Errorf("the password %q, of which %q is to be taken: %v", password, want, err)
		}
	}
}

func (r rotated) look(t *Target, known *rotation, now time.Time) {
	r.t.Helper()
	if err := t.takeUp(r.t.Context(), known, now, slog.New(slog.DiscardHandler)); err != nil {
		r.t.Fatal(err)
	}
}

func (r rotated) dials(t *Target) {
	r.t.Helper()
	c, err := t.Dial(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	_ = c.Close(r.t.Context())
}

func whenEveryReplicaHasRead(r rotated) {
	t := r.t
	early, late := r.replica("p0", ""), r.replica("p0", "")
	var knownEarly, knownLate rotation
	start := time.Unix(1_000_000, 0)
	for _, replica := range []*Target{early, late} {
		r.dials(replica)
		r.look(replica, &rotation{}, start)
	}

	r.mount(early, "p1", "p0")
	for _, after := range []time.Duration{0, planeconfig.AccountMounted - time.Second} {
		r.look(early, &knownEarly, start.Add(after))
		r.takes("p0", "p1")
		r.dials(early)
		r.dials(late)
	}
	r.mount(late, "p1", "p0")
	r.look(early, &knownEarly, start.Add(planeconfig.AccountMounted))
	r.takes("p1", "p0")
	r.dials(early)
	r.dials(late)
	r.look(late, &knownLate, start)
	if knownLate.done != "p1" || late.instead.Load() != nil {
		t.Error("the other replica does not know that it is done")
	}

	t.Log("the next one: a replica that is behind does not undo it")
	r.mount(early, "p2", "p1")
	r.look(early, &knownEarly, start.Add(time.Hour))
	r.look(early, &knownEarly, start.Add(2*time.Hour))
	r.takes("p2", "p1", "p0")
	late.instead.Store(&instead{of: login{r.role, "p1"}, password: "p0"})
	if err := late.takeUp(t.Context(), &knownLate, start.Add(3*time.Hour), slog.New(slog.DiscardHandler)); !errors.Is(err, errAllRefused) {
		t.Errorf("error is %v, not %v", err, errAllRefused)
	}
	r.takes("p2", "p1", "p0")
	r.mount(late, "p2", "p1")
	r.dials(late)
}

// twoWhileTheEngineWasAway shows that a password of which no Secret tells any more is remembered.
func twoWhileTheEngineWasAway(r rotated) {
	replica, known, start := r.replica("p0", ""), rotation{}, time.Unix(1_000_000, 0)
	r.dials(replica)
	r.mount(replica, "p2", "p1")
	r.dials(replica)
	r.look(replica, &known, start)
	r.look(replica, &known, start.Add(planeconfig.AccountMounted))
	r.takes("p2", "p1", "p0")
}

func (r rotated) database(t *Target) *Database {
	r.t.Helper()
	d, err := NewDatabase(t, "test", fstest.MapFS{"migrations/00001_nothing.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")}}, 3, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// byADatabaseThatRuns shows that a plane begins to look for a new password without being asked.
func byADatabaseThatRuns(r rotated) {
	target := r.replica("p1", "p0")
	target.Mounted = -1
	ctx, cancel := context.WithCancel(r.t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	d := r.database(target)
	work.Go(func() { d.Run(ctx) })
	lets := func() bool {
		c, err := pgx.Connect(r.t.Context(), r.as("p1"))
		if err == nil {
			_ = c.Close(ctx)
		}
		return err == nil
	}
	for deadline := time.Now().Add(2 * time.Minute); !lets(); {
		if time.Now().After(deadline) {
			r.t.Fatal("the new password is not let in")
		}
	}
	r.takes("p1", "p0")
}

func callsGoOn(r rotated) {
	t := r.t
	const callers = 2
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	ended := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	targets := [2]*Target{r.replica("p0", ""), r.replica("p0", "")}
	for i, target := range targets {
		d := r.database(target)
		work.Go(func() { d.Run(ctx) })
		for range callers {
			work.Go(func() {
				for ctx.Err() == nil {
					err := d.Call(ctx, "ask", func(ctx context.Context, pool *pgxpool.Pool) error {
						pool.Reset() // each connection is a new one
						var one int
						return pool.QueryRow(ctx, "SELECT 1").Scan(&one)
					})
					if err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					select {
					case ended[i] <- struct{}{}:
					default:
					}
				}
			})
		}
	}
	// Each replica has begun calls and ended some of them after what was done.
	goOn := func() {
		for i := range ended {
			for range 2*callers + 1 {
				<-ended[i]
			}
		}
	}
	goOn()
	for round, now := 1, time.Unix(1_000_000, 0); round <= 2; round++ {
		password, previous, known := fmt.Sprintf("p%d", round), fmt.Sprintf("p%d", round-1), rotation{}
		for _, target := range targets {
			r.mount(target, password, previous)
			goOn()
		}
		r.look(targets[0], &known, now)
		r.look(targets[0], &known, now.Add(planeconfig.AccountMounted))
		r.takes(password, previous)
		goOn()
	}
}
