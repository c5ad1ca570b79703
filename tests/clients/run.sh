#!/usr/bin/env bash
# run.sh BASE_URL: real clients against a running platform; fails with a message when anything sent is not there.
# Telemetry goes to OTEL_EXPORTER_OTLP_ENDPOINT if set, else to BASE_URL; OTEL_EXPORTER_OTLP_HEADERS and OPSLOOP_TOKEN
# (a bearer token for the queries) are used when set.
set -euo pipefail
base="${1:?usage: run.sh BASE_URL}"
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
sent="$(mktemp)"
trap 'rm -f "$sent"' EXIT
"$python" -B "$here/otlp_python.py" "$base" >> "$sent"
node "$here/otlp_javascript.mjs" "$base" >> "$sent"
"$python" -B "$here/otlp_official.py" "$base" >> "$sent"
"$python" -B "$here/read_back.py" "$base" < "$sent"
