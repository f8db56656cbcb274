# shellcheck shell=sh source=controllers/engine/scripts/members.sh
# shellcheck disable=SC2317
# Succeeds for a primary, and for a replica that follows it.
set -eu
. /etc/valkey/config/members.sh
answer=$(ask 127.0.0.1 6379 role)
case $answer in
master*) exit 0 ;;
slave*connected*) exit 0 ;;
esac
echo "not the primary, and not following it yet"
exit 1
