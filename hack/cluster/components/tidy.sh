#!/bin/sh
# Renews module.mod and module.sum of the components after a version in a module.mod was changed by hand.
set -eu
cd "$(dirname "$0")"
for folder in */; do
  [ -f "$folder/module.mod" ] || continue
  work=$(mktemp -d)
  cp "$folder/module.mod" "$work/go.mod"
  for source in "$folder"*.src; do [ ! -f "$source" ] || cp "$source" "$work/$(basename "$source" .src)"; done
  (cd "$work" && go mod tidy)
  cp "$work/go.mod" "$folder/module.mod"
  cp "$work/go.sum" "$folder/module.sum"
  rm -r "$work"
done
