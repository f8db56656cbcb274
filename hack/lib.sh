# What the scripts of hack/ share; to be sourced.
# shellcheck shell=bash

# say prints a line of progress with the seconds since the script began.
say() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# supervised runs a command in a process group of its own, so that an interrupt
# ends all of it at once, and comes back only when it is gone.
supervised() {
  local child saved interrupted='' rc=0
  saved=$(trap -p INT TERM)
  set -m
  "$@" &
  child=$!
  set +m
  trap 'interrupted=1; kill -TERM -- "-$child" 2>/dev/null || true' INT TERM
  wait "$child" || rc=$?
  while kill -0 "$child" 2>/dev/null; do wait "$child" || rc=$?; done
  trap - INT TERM
  eval "$saved"
  [[ -z $interrupted ]] || return 143
  return "$rc"
}
