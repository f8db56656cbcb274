# shellcheck shell=sh source=controllers/engine/scripts/postgres/member.sh
# shellcheck disable=SC2317
# Starts the server, with data that it makes or copies where there is none.
set -eu
. /etc/postgres/config/member.sh
config=/etc/postgres/config/postgresql.conf

refuse() {
  printf '%s\n' "$1" >&2
  exit 1
}

# Whatever became of the pod before, there is one server at a time: the lock is held until the last process of a
# server is gone. Process ids of another container say nothing, so that its own file would mislead it.
exec 9>/data/lock

# A shell that is the first process of a container is ended by no signal that it does not trap.
child=''
trap 'kill "$child" 2>/dev/null || true; exit 143' TERM INT

# patient COMMAND… can be ended while it runs.
patient() {
  "$@" &
  child=$!
  wait "$child"
  child=''
}

# Data is never made anew for another version.
checkVersion() {
  version=$(postgres --version)
  version=${version##*\) }
  version=${version%%[!0-9]*}
  made=$(cat "$PGDATA/PG_VERSION" 2>/dev/null) || refuse "$PGDATA holds no PG_VERSION: restore the volume from a backup"
  [ "$made" = "$version" ] ||
    refuse "the data is of PostgreSQL $made and the image is of PostgreSQL $version: set the image to one of $made, or create another Engine for $version and move the data with pg_dump"
}

# The primary's volume may be a new one while a replica still has everything.
checkReplicas() {
  count=$(cat /etc/postgres/config/replicas)
  while [ "$count" -gt 0 ]; do
    count=$((count - 1))
    if pg_isready -q -t 3 -p 5432 -h "$REPLICA-$count.$DOMAIN"; then
      refuse "the primary has no data and a read replica has: take a dump from the replica with pg_dumpall, then set replicas to 1 to start empty"
    fi
  done
}

initialise() {
  checkReplicas
  rm -rf "$fresh"
  # The order of C does not change with the image's libraries, which would leave indexes wrong.
  initdb -D "$fresh" -U postgres --auth-local=peer --auth-host=scram-sha-256 --data-checksums \
    --encoding=UTF8 --locale=C --lc-ctype=C.UTF-8 >/dev/null
  mv "$fresh" "$PGDATA"
}

copy() {
  echo "copying the data of the primary"
  case $(askSlot) in
  none) ;;
  *) there dbname=postgres -c "SELECT pg_drop_replication_slot('$slot')" || return 1 ;;
  esac
  there dbname=postgres -c "SELECT pg_create_physical_replication_slot('$slot', true)" >/dev/null || return 1
  # The slot has it find all that is written meanwhile.
  patient pg_basebackup -w -h "$PRIMARY" -p 5432 -U replicator -D "$fresh" -X stream -S "$slot" -c fast
}

copied() {
  until
    rm -rf "$fresh"
    copy
  do
    echo "the primary can not be copied yet: trying again"
    patient sleep 2
    writePassfile
  done
  touch "$fresh/standby.signal"
  mv "$fresh" "$PGDATA"
}

# control FIELD of this data
control() { LC_ALL=C pg_controldata | sed -n "s/^$1: *//p"; }

# A replica that the primary keeps no log for can not follow it any more. Without a primary that answers, it can
# still be read.
checkPlace() {
  theirs=$(there 'dbname=postgres replication=true' -c IDENTIFY_SYSTEM) || return 0
  [ "${theirs%%|*}" = "$(control 'Database system identifier')" ] ||
    refuse "the data of this replica is not the primary's: save what you need of it, delete the pod's claim, then the pod"
  case $(askSlot || echo unknown) in
  none | lost)
    echo "the primary has not kept what this replica lacks"
    rm -rf "$fresh"
    mv "$PGDATA" "$fresh"
    ;;
  esac
}

# A replica needs room for as many connections as the primary had whose log it replays.
most() {
  own=$(postgres -C max_connections -c config_file="$config" -D "$PGDATA")
  replayed=$(control 'max_connections setting')
  [ "$own" -ge "$replayed" ] && echo "$own" || echo "$replayed"
}

patient flock 9
# What the last server was told, this one may not know.
rm -f "$run/taken"
[ ! -d "$PGDATA" ] || checkVersion
case $ROLE in
primary)
  [ -d "$PGDATA" ] || initialise
  set -- -c config_file="$config"
  ;;
replica)
  writePassfile
  [ ! -d "$PGDATA" ] || checkPlace
  [ -d "$PGDATA" ] || copied
  set -- -c config_file="$config" -c max_connections="$(most)" -c primary_slot_name="$slot" \
    -c primary_conninfo="host=$PRIMARY port=5432 user=replicator passfile=$PGPASSFILE application_name=$POD_NAME connect_timeout=5"
  ;;
esac
# A volume may have been made readable by its group when it was mounted.
chmod 0700 "$PGDATA"
rm -f "$PGDATA/postmaster.pid"
postgres -D "$PGDATA" "$@" &
child=$!
# Not to wait for clients to leave.
trap 'kill -INT "$child" 2>/dev/null || true' TERM INT
while kill -0 "$child" 2>/dev/null; do
  code=0
  wait "$child" || code=$?
done
exit "$code"
