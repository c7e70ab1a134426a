#!/usr/bin/env bash
# Shows that check.sh refuses what it must and lets pass what it may. Run by check.sh.
set -euo pipefail
cd "$(dirname "$0")"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

# changed EXPECTED FILE SED: check the events after a change to a copy of them.
changed() {
  rm -rf "${copy:?}"/*
  cp ./*.proto buf.yaml "$copy"
  sed -i.before -E "$3" "$copy/$2"
  if cmp -s "$copy/$2" "$copy/$2.before"; then
    echo "check_test.sh: $3 changes nothing in $2" >&2
    exit 1
  fi
  rm "$copy/$2.before"
  result=passes
  EVENT_PROTOS=$copy ./check.sh >"$copy/out" 2>&1 || result=refused
  if [ "$result" != "$1" ]; then
    echo "check_test.sh: $3 in $2 is $result; it must be: $1" >&2
    cat "$copy/out" >&2
    exit 1
  fi
}

changed refused request.proto '/uint64 body_bytes = 14;/d'
changed refused request.proto 's/body_bytes = 14/body_bytes = 99/'
changed refused request.proto 's/body_bytes = 14/request_bytes = 14/'
changed refused request.proto 's/uint64 body_bytes/string body_bytes/'
changed refused request.proto 's/OUTCOME_TIMEOUT = 4/OUTCOME_TIMEOUT = 44/'
changed refused envelope.proto '/SpoolClosed spool_closed = 25;/d'
changed passes request.proto 's/^(  uint64 body_bytes = 14;)/\1\n  uint64 header_bytes = 50;/'
