package jobs_test

import (
	"path/filepath"
	"testing"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/jobs/conformance"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func engineAt(t *testing.T, kind, uri string) planeconfig.Engine {
	t.Helper()
	file := filepath.Join(t.TempDir(), "uri")
	contracttest.Write(t, file, uri)
	return planeconfig.Engine{Type: kind, URIFile: file, Prefix: "trellis:jobs:" + t.Name()}
}

// on is the factory of planes in this process, each target with a queue of its own in the engine at uri.
func on(kind, uri string) conformance.Factory {
	return func(t *testing.T, o conformance.Options) *conformance.Target {
		t.Helper()
		l := newLocal(t, o, engineAt(t, kind, uri))
		return l.target(t, o, nil, l.start)
	}
}

// ownNATS is the factory of planes that are processes, on a NATS of their own.
func ownNATS(t *testing.T, o conformance.Options) *conformance.Target {
	t.Helper()
	cluster := enginetest.NATS(t, 1)
	l := newLocal(t, o, engineAt(t, "NATS", cluster.URI()))
	return l.target(t, o, contracttest.Breaks(cluster.Members[0]), l.StartProcess)
}

// ownPostgres is the factory of planes that are processes, on a PostgreSQL of their own.
func ownPostgres(t *testing.T, o conformance.Options) *conformance.Target {
	t.Helper()
	uri, server := enginetest.Postgres(t)
	l := newLocal(t, o, engineAt(t, "PostgreSQL", uri))
	return l.target(t, o, contracttest.Breaks(server), l.StartProcess)
}
