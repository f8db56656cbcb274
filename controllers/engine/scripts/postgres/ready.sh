# shellcheck shell=sh source=controllers/engine/scripts/postgres/member.sh
# Succeeds for a primary that answers, and for a replica that follows it. Being run every few seconds, it also has this
# member take up what the mounted Secret and the number of replicas have anew.
set -eu
. /etc/postgres/config/member.sh
export PGOPTIONS='-c statement_timeout=5000'
taken=$run/taken
wanted="$(secret password) $(secret replicationPassword)"

# Written to the client, as what is an argument shows in the list of processes.
takePasswords() {
  here <<END
SET client_min_messages = error;
SET password_encryption = 'scram-sha-256';
ALTER ROLE postgres PASSWORD '$(secret password)';
DO 'BEGIN CREATE ROLE replicator; EXCEPTION WHEN duplicate_object THEN NULL; END';
ALTER ROLE replicator LOGIN REPLICATION CONNECTION LIMIT 20 PASSWORD '$(secret replicationPassword)';
REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE postgres TO replicator;
END
}

primary() {
  if [ "$(cat "$taken" 2>/dev/null)" != "$wanted" ]; then
    takePasswords >/dev/null
    note "$taken" "$wanted"
  fi
  # What a replica that is gone would still need is not kept for it.
  here -c "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active
    AND slot_name ~ '^replica_[0-9]+\$' AND substr(slot_name, 9)::int >= $(cat /etc/postgres/config/replicas)" >/dev/null
  [ "$(here -c 'SELECT 1')" = 1 ]
}

replica() {
  if [ "$(cat "$taken" 2>/dev/null)" != "$wanted" ]; then
    writePassfile
    note "$taken" "$wanted"
  fi
  case $(here -c "SELECT coalesce((SELECT status FROM pg_stat_wal_receiver), 'none')") in
  '') return 1 ;;
  streaming) return 0 ;;
  esac
  # While the primary is away, what was replayed can be read.
  state=$(askSlot 2>/dev/null) || return 0
  case $state in
  none | lost)
    echo "the primary has not kept what this replica lacks: it is copied anew"
    pg_ctl stop -m fast -W >/dev/null
    ;;
  esac
  echo "the replica does not follow the primary yet"
  return 1
}

"$ROLE"
