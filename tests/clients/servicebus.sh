#!/usr/bin/env bash
# Starts the embedded broker on a free port and runs Microsoft's Service Bus clients against it. Takes about a minute.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
cd "$here/../.."
# As the tests before: with other packages cargo would build the dependencies once more.
cargo build --workspace --locked --quiet --example amqp_broker
target="$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')"
work="$(mktemp -d)"
"$target"/debug/examples/amqp_broker > "$work/out" &
broker=$!
trap 'kill $broker 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do grep -q 'Endpoint' "$work/out" && break; sleep 0.1; done
connection="$(cat "$work/out")"
[ -n "$connection" ] || { echo "the broker did not come up"; exit 1; }
"$python" -B "$here/servicebus.py" "$connection"
node "$here/servicebus.mjs" "$connection"
