#!/usr/bin/env bash
# Makes the Go code of the events anew, with pinned tools only: buf from .ci/tools (`make tools`), the
# generators from this module's go.mod.
set -euo pipefail
cd "$(dirname "$0")"
bin=$(cd ../.. && pwd)/.cache/bin
[ -x "$bin/buf" ] || { echo "$bin/buf is missing; run: make tools" >&2; exit 1; }
# The generators' versions are those of the libraries that the generated code needs: go.mod pins both.
(cd .. && GOBIN=$bin go install tool)
PATH="$bin:$PATH" buf generate
gofmt -w ./*.pb.go
