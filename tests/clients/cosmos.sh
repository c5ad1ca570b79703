#!/usr/bin/env bash
# Microsoft's Cosmos DB client for Python reads what our adapter wrote, from the test host.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/clients/install.sh
# As the tests before: with other packages cargo would build the dependencies once more.
OPSLOOP_PYTHON="$python" cargo test --workspace --locked --test cosmos_python -- --ignored
