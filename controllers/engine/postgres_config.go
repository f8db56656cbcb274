package engine

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trellis-dev/trellis/controllers/specs"
)

// What the container of a member runs. The scripts use nothing but PostgreSQL's own programs, a shell, and what
// every small Linux has.
var (
	//go:embed scripts/postgres/member.sh
	postgresMember string
	//go:embed scripts/postgres/server.sh
	postgresServer string
	//go:embed scripts/postgres/ready.sh
	postgresReady string
)

// postgresHBA has the pod's own user in by the socket, and everyone else by a password.
const postgresHBA = `local all         postgres   peer
host  postgres    replicator all scram-sha-256
host  replication replicator all scram-sha-256
host  all         replicator all reject
host  all         all        all scram-sha-256
`

const mebibyte = 1 << 20

// postgresFiles are those that pods are made anew for when they change.
func postgresFiles(r Request) map[string]string {
	return map[string]string{
		"postgresql.conf": postgresConfig(r), "pg_hba.conf": postgresHBA,
		"member.sh": postgresMember, "server.sh": postgresServer, "ready.sh": postgresReady,
	}
}

// withReplicas adds how many read replicas there are, which a running primary reads again and again.
func withReplicas(files map[string]string, r Request) map[string]string {
	out := maps.Clone(files)
	out["replicas"] = fmt.Sprintln(r.Replicas - 1)
	return out
}

func checksumOf(files map[string]string) string {
	var contents []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		contents = append(contents, files[name])
	}
	return specs.Checksum(contents...)
}

// postgresConfig is sized by what the container may have of memory and of disk. What was acknowledged is on disk.
func postgresConfig(r Request) string {
	resources := postgresResources(r)
	memory := resources.Limits.Memory().Value() / mebibyte
	disk := r.Storage.Size.Value() / mebibyte
	lines := []string{
		"listen_addresses = '*'",
		fmt.Sprintf("port = %d", postgresPort),
		"unix_socket_directories = '/run/postgres'",
		"hba_file = '" + postgresConfigDir + "/pg_hba.conf'",
		"password_encryption = 'scram-sha-256'",
		// A client takes some MiB of its own.
		fmt.Sprintf("max_connections = %d", min(max(memory/4, 30), 500)),
		fmt.Sprintf("shared_buffers = %dMB", max(memory/4, 16)),
		fmt.Sprintf("effective_cache_size = %dMB", max(memory/2, 32)),
		fmt.Sprintf("maintenance_work_mem = %dMB", min(max(memory/16, 16), 1024)),
		"fsync = on",
		"full_page_writes = on",
		"synchronous_commit = on",
		"wal_level = replica",
		"max_wal_senders = 16",
		"max_replication_slots = 16",
		// A replica that is away does not fill the primary's disk: it is copied anew.
		fmt.Sprintf("max_slot_wal_keep_size = %dMB", max(disk/4, 64)),
		fmt.Sprintf("max_wal_size = %dMB", min(max(disk/8, 64), 4096)),
		"min_wal_size = 64MB",
		"hot_standby = on",
		// Compiling queries takes more memory than small ones save time.
		"jit = off",
		"timezone = 'UTC'",
		"log_timezone = 'UTC'",
		"log_destination = 'stderr'",
		"logging_collector = off",
		"log_line_prefix = '%m [%p] %q%u@%d '",
		// A statement may hold a secret, or what is its user's alone.
		"log_statement = 'none'",
		"log_min_duration_statement = -1",
		"log_min_error_statement = 'panic'",
		"log_parameter_max_length = 0",
		"log_parameter_max_length_on_error = 0",
	}
	return strings.Join(lines, "\n") + "\n"
}
