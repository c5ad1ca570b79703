#!/usr/bin/env bash
# Sourced by record.sh and run.sh: installs the pinned SDKs beside this file, once per content of the lock files.
# Needs python3 (3.11), pip, node (20) and npm.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="$here/.venv/bin/python"

fresh() { # stamp, lock: whether what is installed is what the lock says
  [ -f "$1" ] && [ "$(cat "$1")" = "$(cksum < "$2")" ]
}

if ! { [ -x "$python" ] && fresh "$here/.venv/.lock" "$here/requirements.txt"; }; then
  rm -rf "$here/.venv"
  "$(command -v python3.11 || command -v python3)" -m venv "$here/.venv"
  "$python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
  cksum < "$here/requirements.txt" > "$here/.venv/.lock"
fi
if ! fresh "$here/node_modules/.lock" "$here/package-lock.json"; then
  (cd "$here" && npm ci --silent --no-audit --no-fund)
  cksum < "$here/package-lock.json" > "$here/node_modules/.lock"
fi
