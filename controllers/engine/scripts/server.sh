# shellcheck shell=sh source=controllers/engine/scripts/members.sh
# shellcheck disable=SC2317
# Starts the server as the primary, or as a replica of it.
set -eu
. /etc/valkey/config/members.sh
rm -f "$offered"

# Nobody else has anything either: every other member answers, and holds no key.
othersEmpty() {
  for member in $MEMBERS; do
    [ "$member" = "$me" ] || [ "$(ask "$member" 6379 dbsize)" = 0 ] || return 1
  done
}

# Sets primary. One that is named by the Sentinels and has lost its disk waits until another is
# promoted: starting empty, it would have its replicas forget everything.
decide() {
  askSentinels
  if [ -n "$primary" ]; then
    [ "$primary" != "$me" ] || [ -e /data/appendonlydir ]
    return
  fi
  remembered
  [ -z "$primary" ] || return 0
  if [ "$me" != "$first" ] || [ -e /data/appendonlydir ] || othersEmpty; then
    primary=$first
    return 0
  fi
  return 1
}

until decide; do
  echo "no primary to be, or to follow: trying again"
  sleep 1
  readPasswords
done
echo "the primary is $primary"
set -- /etc/valkey/config/valkey.conf --replica-announce-ip "$me"
[ "$primary" = "$me" ] || set -- "$@" --replicaof "$primary" 6379
readPasswords
note "$taken.6379" "$password $previous"
exec "$SERVER" "$@"
