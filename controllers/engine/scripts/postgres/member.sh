# shellcheck shell=sh disable=SC2034
# Sourced by the other scripts: where things are, and how to ask this server and the primary.
export PGDATA=/data/pgdata
run=/run/postgres
# What is being made, until it is whole and is renamed.
fresh=/data/pgdata.new
# The replica's place in the primary's log.
slot=replica_${POD_NAME##*-}
# libpq reads the password from a file that nobody else can, which a mounted one is not.
export PGPASSFILE=$run/pgpass PGCONNECT_TIMEOUT=5

secret() { cat "/etc/postgres/auth/$1"; }

# note FILE TEXT. The server and its probe may do so at the same moment.
note() { (umask 077 && printf '%s\n' "$2" >"$1.$$" && mv "$1.$$" "$1"); }

# here SQL… asks this server, by the socket.
here() { psql -XAtqw -v ON_ERROR_STOP=1 -h "$run" -p 5432 -U postgres -d postgres "$@"; }

# there DATABASE SQL… asks the primary, with the rights of a replica.
there() {
  database=$1
  shift
  psql -XAtqw -v ON_ERROR_STOP=1 "host=$PRIMARY port=5432 user=replicator $database" "$@"
}

writePassfile() { note "$PGPASSFILE" "*:*:*:replicator:$(secret replicationPassword)"; }

# The state of this replica's slot: reserved, extended, unreserved, lost, or none where there is no slot. Fails when
# the primary does not answer.
askSlot() {
  there dbname=postgres -c "SELECT coalesce((SELECT wal_status FROM pg_replication_slots WHERE slot_name = '$slot'), 'none')"
}
