#!/usr/bin/env bash
# Builds the named tools (every one, if none is named) and links them into bin/tools.
#
# A tool is a Go module in a folder beside this script: its go.mod pins the
# version, its go.sum the bytes, and its one `tool` line says what to build. A
# built tool is kept in the user's cache by the hash of what it was built from,
# so a second clone builds nothing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${TRELLIS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trellis}/tools

# key prints the hash of all that a build of the tool depends on.
key() {
  (cd "$here/$1" && { go env GOVERSION GOOS GOARCH; cat go.mod go.sum ./*.go 2>/dev/null || true; }) |
    sha256sum | cut -c1-12
}

# build compiles tool $1 into file $2; the file appears whole or not at all.
build() {
  local part=$2.$$
  trap 'rm -f "$part"' RETURN
  (cd "$here/$1" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$part" tool)
  mv "$part" "$2"
}

if (($# == 0)); then
  cd "$here"
  tools=(*/go.mod)
  set -- "${tools[@]%/go.mod}"
fi

mkdir -p "$cache" "$root/bin/tools"
n=0
for tool in "$@"; do
  n=$((n + 1))
  if [[ ! -f $here/$tool/go.mod ]]; then
    echo "tools: there is no tool named $tool in hack/tools" >&2
    exit 2
  fi
  file=$cache/$tool-$(key "$tool")
  if [[ ! -x $file ]]; then
    started=$SECONDS
    echo "tools: building $tool ($n of $#)" >&2
    build "$tool" "$file"
    echo "tools: built $tool in $((SECONDS - started)) s" >&2
  fi
  ln -sfn "$file" "$root/bin/tools/$tool"
done
