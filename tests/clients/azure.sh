#!/usr/bin/env bash
# The loop closed twice: once embedded, once on the adapters of the cloud (Cosmos DB by its SDK, Service Bus over AMQP,
# Blob Storage in Azurite). Facts and documents must be the same. Takes minutes; not in the test command yet.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
cd "$here/../.."
cargo build --release --locked --quiet
target="$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')"
cargo build --locked --quiet --manifest-path tests/cosmos-host/Cargo.toml --target-dir "$target/cosmos-host"
work="$(mktemp -d)"
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
within() { for _ in $(seq 300); do [ -n "$("$1")" ] && return; sleep 0.1; done; echo "$1 did not come up:"; cat "$work"/*.out; exit 1; }

mkfifo "$work/open"
"$target/cosmos-host/debug/cosmos-host" < "$work/open" > "$work/cosmos.out" 2>&1 &
exec 9> "$work/open" # it ends when this is closed
cosmos() { sed -n 's#^READY ##p' "$work/cosmos.out"; }
"$here/node_modules/.bin/azurite-blob" --inMemoryPersistence --skipApiVersionCheck --disableTelemetry \
  --blobHost 127.0.0.1 --blobPort 0 > "$work/azurite.out" 2>&1 &
azurite() { sed -n 's#.*successfully listens on \(http://[^ ]*\).*#\1#p' "$work/azurite.out"; }
within cosmos
within azurite

"$target/release/opsloop" demo --data "$work/embedded" > "$work/embedded.txt"
"$target/release/opsloop" demo --data "$work/azure" --cosmos "$(cosmos)" --amqp amqp://127.0.0.1:0 \
  --blob "$(azurite)/devstoreaccount1" > "$work/azure.txt"
# Which of several traces an item bears is chance; how many facts there are, and their ids, is not.
came() { sed -n '/^What came of it/,$p' "$1"; }
diff <(came "$work/embedded.txt") <(came "$work/azure.txt")
"$python" -B "$here/same_documents.py" "$(cosmos)" "$work/embedded/state.sqlite3"
