package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

const kept = "CREATE TABLE IF NOT EXISTS kept (id int)"

func TestPostgresPrimary(t *testing.T) {
	t.Parallel()
	m := pgMembers(t, 0)[0]
	// An initdb that was killed half-way.
	half := filepath.Join(m.data, "pgdata.new")
	if err := errors.Join(os.MkdirAll(filepath.Join(half, "base"), 0o700), os.Chmod(half, 0o777)); err != nil {
		t.Fatal(err)
	}
	m.start()
	m.becomesReady()
	m.do("WITH made AS (SELECT 1) SELECT 'ok' FROM made")
	c, err := m.connect("first")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), kept+"; INSERT INTO kept VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	m.crash()
	m.start()
	m.becomesReady()
	if got := m.do("SELECT count(*)::text FROM kept"); got != "1" {
		t.Errorf("%s rows after a crash", got)
	}
	if c, err = m.connect("first"); err != nil {
		t.Fatal(err)
	}
	if code := m.stop(); code != 0 {
		t.Errorf("stopped with a client that stays: exit code %d", code)
	}
	if !c.IsClosed() && c.Ping(t.Context()) == nil {
		t.Error("a client outlives the server")
	}
}

func TestPostgresPasswords(t *testing.T) {
	t.Parallel()
	m := pgMembers(t, 0)[0]
	m.start()
	m.becomesReady()
	m.mount("second")
	m.becomesReady()
	if _, err := m.ask("second", "SELECT 'ok'"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if _, err := m.ask("first", "SELECT 'ok'"); err == nil {
		t.Error("the password before is accepted")
	}
	m.stop()
	for _, secret := range []string{"first", "second"} {
		if strings.Contains(m.log.String(), secret) {
			t.Errorf("the log holds a password:\n%s", m.log)
		}
	}
}

func TestPostgresRefusesAnotherVersion(t *testing.T) {
	t.Parallel()
	m := pgMembers(t, 0)[0]
	m.start()
	m.becomesReady()
	m.stop()
	version := filepath.Join(m.data, "pgdata", "PG_VERSION")
	if err := os.WriteFile(version, []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
	if code := m.wait(); code == 0 || !strings.Contains(m.log.String(), "the data is of PostgreSQL 9 and the image is of PostgreSQL 1") {
		t.Errorf("exit code %d, says %s", code, m.log)
	}
	if _, err := os.Stat(filepath.Join(m.data, "pgdata", "global", "pg_control")); err != nil {
		t.Errorf("the data is gone: %v", err)
	}
}

func TestPostgresReplica(t *testing.T) {
	t.Parallel()
	members := pgMembers(t, 1)
	primary, replica := members[0], members[1]
	replica.start()
	primary.start()
	primary.becomesReady()
	replica.becomesReady()
	c, err := primary.connect("first")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), kept+"; INSERT INTO kept VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	reads := func() bool {
		got, err := replica.ask("first", "SELECT count(*)::text FROM kept")
		return err == nil && got == "1"
	}
	soon(t, "the replica has what was written", reads)
	if _, err := replica.ask("first", "INSERT INTO kept VALUES (2) RETURNING 'written'"); err == nil {
		t.Error("a replica takes writes")
	}

	t.Log("without its primary it is read")
	_ = c.Close(t.Context())
	primary.stop()
	if !replica.ready() {
		t.Error("the replica is not ready while the primary is away")
	}
	primary.start()
	primary.becomesReady()
	soon(t, "it follows again", func() bool {
		return primary.do("SELECT count(*)::text FROM pg_stat_replication WHERE state = 'streaming'") == "1"
	})

	t.Log("with both passwords anew it follows at once")
	primary.mount("second")
	primary.becomesReady()
	replica.mount("second")
	replica.becomesReady()
	replica.stop()
	replica.start()
	replica.becomesReady()
	primary.mount("first")
	primary.becomesReady()
	replica.mount("first")
	replica.becomesReady()

	t.Log("what has no place in the primary's log any more is copied anew")
	replica.stop()
	if got := primary.do("SELECT 'dropped' FROM (SELECT pg_drop_replication_slot('replica_0')) AS d"); got != "dropped" {
		t.Fatal(got)
	}
	replica.start()
	replica.becomesReady()
	soon(t, "the new copy has what was written", reads)
	if !strings.Contains(replica.log.String(), "copying the data of the primary") {
		t.Errorf("it says\n%s", replica.log)
	}

	t.Log("a running one that is left behind ends, to be copied")
	primary.do("SELECT pg_terminate_backend(pid)::text FROM pg_stat_replication")
	soon(t, "its place is lost", func() bool {
		_, err := primary.ask("first", "SELECT 'ok' FROM (SELECT pg_terminate_backend(active_pid), pg_drop_replication_slot(slot_name) FROM pg_replication_slots) AS d")
		return err == nil
	})
	soon(t, "it ends", func() bool { return !replica.ready() && replica.ended() })
	replica.start()
	replica.becomesReady()

	t.Log("the place of one that is taken away is not kept")
	replica.stop()
	primary.write(filepath.Join(primary.config, "replicas"), "0\n")
	primary.becomesReady()
	if got := primary.do("SELECT count(*)::text FROM pg_replication_slots"); got != "0" {
		t.Errorf("%s slots are left", got)
	}
}

func TestPostgresKeepsTheOnlyCopy(t *testing.T) {
	t.Parallel()
	members := pgMembers(t, 1)
	primary, replica := members[0], members[1]
	primary.start()
	replica.start()
	primary.becomesReady()
	replica.becomesReady()
	before := replica.do("SELECT system_identifier::text FROM pg_control_system()")

	t.Log("an empty primary beside a replica that answers")
	primary.stop()
	if err := os.RemoveAll(filepath.Join(primary.data, "pgdata")); err != nil {
		t.Fatal(err)
	}
	primary.start()
	if code := primary.wait(); code == 0 || !strings.Contains(primary.log.String(), "the primary has no data and a read replica has") {
		t.Errorf("exit code %d, says %s", code, primary.log)
	}

	t.Log("a replica of another primary")
	replica.stop()
	primary.start()
	primary.becomesReady()
	replica.start()
	if code := replica.wait(); code == 0 || !strings.Contains(replica.log.String(), "the data of this replica is not the primary's") {
		t.Errorf("exit code %d, says %s", code, replica.log)
	}
	primary.stop()
	replica.start()
	replica.becomesReady()
	if diff := cmp.Diff(before, replica.do("SELECT system_identifier::text FROM pg_control_system()")); diff != "" {
		t.Errorf("the replica has other data (-before +after):\n%s", diff)
	}
}

func TestReadReplicasMayBeTakenAway(t *testing.T) {
	set := func(replicas int32) client.Object {
		s := &appsv1.StatefulSet{}
		s.Spec.Replicas = ptr.To(replicas)
		return s
	}
	for name, c := range map[string]struct {
		engine v1alpha1.EngineType
		alive  []client.Object
		want   int32
	}{
		"of PostgreSQL":              {v1alpha1.EnginePostgreSQL, []client.Object{set(1), set(1)}, 2},
		"of PostgreSQL, all of them": {v1alpha1.EnginePostgreSQL, []client.Object{set(1)}, 1},
		"none while it is suspended": {v1alpha1.EnginePostgreSQL, []client.Object{set(0), set(0)}, 3},
		"none of Redis":              {v1alpha1.EngineRedis, []client.Object{set(1)}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			e := hasReplicas(makeEngine(), 3)
			e.Spec.Type = c.engine
			observe(e, pattern.Observed{Children: c.alive})
			if e.Status.Replicas != c.want {
				t.Errorf("%d replicas, want %d", e.Status.Replicas, c.want)
			}
			e.Spec.Provisioned = &v1alpha1.ProvisionedEngine{Replicas: ptr.To[int32](1)}
			want := int32(1)
			if c.engine == v1alpha1.EngineRedis {
				want = 3
			}
			if got := request(e, pattern.Inputs{Class: makeClass()}).Replicas; got != want {
				t.Errorf("%d replicas are planned, want %d", got, want)
			}
		})
	}
}
