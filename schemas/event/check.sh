#!/usr/bin/env bash
# Refuses changes to the events that break what is already written: a field that is removed,
# renamed, renumbered or has another type, against the schema in testdata/baseline.binpb; and generated
# code that is not what the .proto files give.
#
#   check.sh            check
#   check.sh baseline   take what is new into the baseline, once the check has passed
#
# EVENT_PROTOS names another folder with .proto files to check, for the check's own test.
set -euo pipefail
cd "$(dirname "$0")"
bin=$(cd ../.. && pwd)/.cache/bin
[ -x "$bin/buf" ] || { echo "$bin/buf is missing; run: make tools" >&2; exit 1; }
(cd .. && GOBIN=$bin go install tool)
protos=${EVENT_PROTOS:-.}

"$bin/buf" lint "$protos"
if ! "$bin/buf" breaking "$protos" --against testdata/baseline.binpb; then
  echo "The events would no longer be read as they were written. Add a field in the place of changing one." >&2
  exit 1
fi
[ "$protos" = . ] || exit 0

if [ "${1:-}" = baseline ]; then
  "$bin/buf" build . --exclude-source-info -o testdata/baseline.binpb
fi

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
PATH="$bin:$PATH" "$bin/buf" generate -o "$made"
gofmt -w "$made"/*.pb.go
for file in "$made"/*.pb.go ./*.pb.go; do
  name=$(basename "$file")
  cmp -s "$made/$name" "$name" || { echo "schemas/event/$name is not what the .proto files give; run: make generate" >&2; exit 1; }
done

./check_test.sh
