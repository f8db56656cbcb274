# shellcheck shell=sh source=controllers/engine/scripts/members.sh
# shellcheck disable=SC2317
# Before the server is stopped: a primary hands over to a replica that has everything. Writes wait
# meanwhile, and are refused when this member becomes a replica, so that none is acknowledged and lost.
set -eu
. /etc/valkey/config/members.sh
[ "$(role 127.0.0.1)" = master ] || exit 0

# Every replica that is there has acknowledged all that was written.
caughtUp() {
  written='' behind=''
  while IFS=: read -r field value; do
    value=${value%%[!0-9a-z.,=_-]*}
    case $field in
    master_repl_offset) written=$value ;;
    slave[0-9]*)
      offset=${value##*offset=}
      behind="$behind ${offset%%,*}"
      ;;
    esac
  done <<END
$(ask 127.0.0.1 6379 info replication)
END
  [ -n "$behind" ] || return 1
  for offset in $behind; do
    [ "$offset" = "$written" ] || return 1
  done
}

# patiently SECONDS COMMAND
patiently() {
  left=$1
  shift
  until "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep 1
  done
}

failover() {
  for member in $MEMBERS; do
    if [ "$member" != "$me" ] && [ "$(ask "$member" 26379 sentinel failover mymaster)" = OK ]; then
      return 0
    fi
  done
  return 1
}

replaced() { [ "$(role 127.0.0.1)" != master ]; }

ask 127.0.0.1 6379 client pause 30000 write
if patiently 5 caughtUp && patiently 5 failover && patiently 15 replaced; then
  exit 0
fi
# Nobody can take over now. The server waits for its replicas once more when it stops.
ask 127.0.0.1 6379 client unpause
exit 0
