#!/usr/bin/env bash
# Installs the Debian packages that Trellis needs and this machine lacks, and
# checks the version of Go. With nothing missing it changes nothing and takes
# no time. TRELLIS_SKIP_DEPS=1 leaves the packages to you.
#   hack/deps.sh        all: to build, run and test
#   hack/deps.sh run    only what a cluster needs, with Trellis in it
#   hack/deps.sh bench  only what the benchmarks compare with
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
policy=/usr/sbin/policy-rc.d
lists=("$root/hack/cluster/debian-packages.txt")
case ${1:-} in
run) ;;
bench) lists=("$root/hack/debian-packages-bench.txt") ;;
*) lists+=("$root/hack/debian-packages.txt") ;;
esac

die() {
  printf 'deps: %s\n' "$@" >&2
  exit 1
}

wanted() {
  sed -e 's/#.*//' "${lists[@]}" | tr -s '[:space:]' '\n' | sed '/^$/d' | sort -u
}

# missing prints the wanted packages that are not installed.
missing() {
  comm -23 <(wanted) <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u)
}

# install installs packages and starts none of the services they bring.
install() {
  if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get install -qy --no-install-recommends "$@"
}

packages() {
  local lack
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    die "this is no Debian; install what these packages hold, then run again with TRELLIS_SKIP_DEPS=1:" \
      "$(wanted | paste -sd' ')"
  fi
  mapfile -t lack < <(missing)
  ((${#lack[@]} > 0)) || return 0
  echo "deps: installing ${#lack[@]} Debian packages: ${lack[*]}"
  [[ $(id -u) == 0 ]] || die "that needs root: run 'sudo hack/deps.sh${1:+ $1}' once"
  install "${lack[@]}"
}

golang() {
  local want have
  want=$(sed -n 's/^go //p' "$root/go.mod")
  command -v go >/dev/null || die "Go $want or newer is needed: https://go.dev/dl"
  have=$(go env GOVERSION)
  have=${have#go}
  [[ $(printf '%s\n' "$want" "${have%% *}" | sort -V | head -n1) == "$want" ]] ||
    die "Go $want or newer is needed, this is $have: https://go.dev/dl"
}

[[ ${TRELLIS_SKIP_DEPS:-} == 1 ]] || packages "$@"
golang
