# shellcheck shell=sh source=controllers/engine/scripts/members.sh
# shellcheck disable=SC2317
# Succeeds for a primary, and for a replica that follows it. Being run every few seconds, it also has
# this member take up a password that the mounted Secret has anew.
set -eu
. /etc/valkey/config/members.sh
. /etc/valkey/config/rotate.sh
[ "$(cat "$offered" 2>/dev/null)" = "$password" ] || rotate || echo "the new password is not taken up everywhere yet"
# Without a note of what the server accepts, it could not be told of a password after the next.
[ -s "$taken.6379" ] || exit 1

# A replica that the Sentinels had not heard of yet when another primary took over is told by none of them.
# It follows whom its own and the newest Sentinel name, as they would have it do.
follow() {
  askSentinels
  [ -n "$primary" ] && [ "$primary" != "$me" ] && [ "$primary" != "$1" ] || return 0
  [ "$(ask 127.0.0.1 26379 sentinel get-master-addr-by-name mymaster | head -n 1)" = "$primary" ] || return 0
  [ "$(role "$primary")" = master ] || return 0
  echo "following $primary"
  tell 6379 "REPLICAOF $primary 6379" || true
}

answer=$(ask 127.0.0.1 6379 role)
case $answer in
master*) exit 0 ;;
slave*connected*) exit 0 ;;
slave*) follow "$(printf '%s\n' "$answer" | head -n 2 | tail -n 1)" ;;
esac
echo "not the primary, and not following it yet"
exit 1
