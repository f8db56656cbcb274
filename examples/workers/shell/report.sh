#!/bin/sh
# Makes a report of the job on standard input, for a JobQueue whose worker is exec {command: [sh, report.sh]}.
# Progress goes to the file that TRELLIS_PROGRESS_FILE names, a line each; standard output is the result.
# Exit 65 says that the payload is wrong, and that another attempt would not help; any other failure is tried again.
set -eu

wrong() {
  echo "report: $1" >&2
  exit 65
}

payload=$(cat)
title=$(printf '%s' "$payload" | sed -n 's/.*"title" *: *"\([^"\\]*\)".*/\1/p')
rows=$(printf '%s' "$payload" | sed -n 's/.*"rows" *: *\[\([0-9, ]*\)\].*/\1/p' | tr ',' ' ')
[ -n "$title" ] || wrong 'the payload has no "title" that is plain text'
[ -n "$rows" ] || wrong 'the payload has no "rows" that are whole numbers'

# shellcheck disable=SC2086 # the rows are words
set -- $rows
total=$#
sum=0
for row; do
  sum=$((sum + row))
  shift
  echo "$((100 * (total - $#) / total)) row $((total - $#)) of $total" >"$TRELLIS_PROGRESS_FILE"
done
printf '{"title":"%s","rows":%d,"sum":%d}\n' "$title" "$total" "$sum" >"$TRELLIS_RESULT_FILE"
