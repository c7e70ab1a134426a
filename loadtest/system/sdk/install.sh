#!/usr/bin/env bash
# Installs the official OpenAI SDKs, at the versions pinned beside this file, into
# .cache/sdk: node_modules for Node, a virtual environment for Python. What is
# there already at the same version is kept.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$(cd "$here/../../.." && pwd)/.cache/sdk

# missing WHAT HOW: the error for a program that is not there.
missing() {
	echo "cannot install the SDKs: there is no $1; $2" >&2
	exit 1
}
command -v npm >/dev/null || missing npm "install Node.js 20 or later, with npm"
command -v python3 >/dev/null || missing python3 "install Python 3.10 or later, with venv"

# unchanged DIR FILE...: says if DIR was made from these files.
unchanged() {
	local dir=$1 sum
	shift
	sum=$(cat "$@" | sha256sum)
	[[ -f $dir/.made-from && $(<"$dir/.made-from") == "$sum" ]]
}
mark() {
	local dir=$1
	shift
	cat "$@" | sha256sum >"$dir/.made-from"
}

node=("$here/node/package.json" "$here/node/package-lock.json")
if ! unchanged "$cache/node" "${node[@]}"; then
	rm -rf "$cache/node"
	mkdir -p "$cache/node"
	cp "${node[@]}" "$cache/node/"
	(cd "$cache/node" && npm ci --no-audit --no-fund --loglevel error)
	mark "$cache/node" "${node[@]}"
fi

python=("$here/python/requirements.txt")
if ! unchanged "$cache/python" "${python[@]}"; then
	rm -rf "$cache/python"
	python3 -m venv "$cache/python" || missing "Python venv module" "install python3-venv"
	"$cache/python/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "${python[0]}"
	mark "$cache/python" "${python[@]}"
fi
