#!/usr/bin/env bash
# Starts `opsloop local` on free ports with a fresh folder and runs the real clients against it.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --locked --quiet
target="$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')"
work="$(mktemp -d)"
"$target"/release/opsloop local --data "$work/data" --http-port 0 --otlp-port 0 --quiet > "$work/out" &
platform=$!
trap 'kill $platform 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do grep -q 'API' "$work/out" && break; sleep 0.1; done
url="$(sed -n 's#.*API *\(http://[^/]*\)/.*#\1#p' "$work/out")"
otlp="$(sed -n 's#.*OTLP/HTTP *\(http://[^ ]*\).*#\1#p' "$work/out")"
[ -n "$url" ] || { echo "local did not come up:"; cat "$work/out"; exit 1; }
OTEL_EXPORTER_OTLP_ENDPOINT="$otlp" tests/clients/run.sh "$url"
