#!/usr/bin/env bash
# Shows what Tallygate does: sends traffic through the official OpenAI SDK and asks
# ClickHouse what became of it. It uses the stack of `make run` if that runs over
# this data folder, and otherwise starts one and stops it at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${TALLYGATE_DATA:-./.local}
admin=http://${TALLYGATE_ADMIN_ADDR:-127.0.0.1:8081}

loadtest/system/sdk/install.sh

ready() { [[ -f $data/dev.env ]] && curl -fs -o /dev/null --max-time 2 "$admin/readyz"; }

if ! ready; then
	echo "starting the stack …"
	log=$(mktemp)
	bin/stack >"$log" 2>&1 &
	stack=$!
	stop() {
		kill -INT "$stack" 2>/dev/null || true
		wait "$stack" || true
		rm -f "$log"
	}
	trap stop EXIT
	for ((tries = 0; tries < 600; tries++)); do
		ready && break
		if ! kill -0 "$stack" 2>/dev/null; then
			cat "$log" >&2
			exit 1
		fi
		sleep 0.2
	done
	ready || { cat "$log" >&2; echo "the stack was not ready within two minutes" >&2; exit 1; }
fi

set -a
# shellcheck disable=SC1091
source "$data/dev.env"
set +a
.cache/sdk/python/bin/python loadtest/demo/demo.py
