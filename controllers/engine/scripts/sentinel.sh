# shellcheck shell=sh source=controllers/engine/scripts/members.sh
# shellcheck disable=SC2317
# Starts the Sentinel, with what it knew before. It rewrites its file itself; the settings that are
# ours, and the passwords, are put in anew at each start.
set -eu
. /etc/valkey/config/members.sh
rm -f "$offered"
mkdir -p /data/sentinel

# A Sentinel that watched a primary that never was would have nothing to promote.
knowPrimary() {
  remembered
  [ -z "$primary" ] || return 0
  askSentinels
  [ -z "$primary" ] || return 0
  for member in $MEMBERS; do
    if [ "$(role "$member")" = master ]; then
      primary=$member
      return 0
    fi
  done
  return 1
}

until knowPrimary; do
  sleep 1
  readPasswords
done

settings() {
  cat <<END
port 26379
bind * -::*
dir /data/sentinel
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $me
sentinel monitor mymaster $primary 6379 $QUORUM
sentinel down-after-milliseconds mymaster 5000
sentinel failover-timeout mymaster 15000
END
  cat /etc/valkey/auth/sentinel.conf
}

{
  settings
  [ ! -s "$state" ] || grep -E '^sentinel (myid|current-epoch|config-epoch|leader-epoch|known-replica|known-slave|known-sentinel) ' "$state" || true
} >"$state.new"
mv "$state.new" "$state"
readPasswords
note "$taken.26379" "$password $previous"
exec "$SERVER" "$state" --sentinel
