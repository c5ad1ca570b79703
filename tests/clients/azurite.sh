#!/usr/bin/env bash
# Starts Azurite, Microsoft's emulator of Blob Storage, on a free port and runs the tests that need it.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/clients/install.sh
work="$(mktemp -d)"
# Its own API versions lag behind those of the SDKs.
tests/clients/node_modules/.bin/azurite-blob --inMemoryPersistence --skipApiVersionCheck --disableTelemetry \
  --blobHost 127.0.0.1 --blobPort 0 > "$work/out" 2>&1 &
azurite=$!
trap 'kill $azurite 2>/dev/null || true; rm -rf "$work"' EXIT
listening() { sed -n 's#.*successfully listens on \(http://[^ ]*\).*#\1#p' "$work/out"; }
for _ in $(seq 300); do [ -n "$(listening)" ] && break; sleep 0.1; done
[ -n "$(listening)" ] || { echo "Azurite did not come up:"; cat "$work/out"; exit 1; }
# As the tests before: with other packages cargo would build the dependencies once more.
AZURITE_URL="$(listening)/devstoreaccount1" \
  cargo test --workspace --locked --test azurite --test claim_check -- --ignored
