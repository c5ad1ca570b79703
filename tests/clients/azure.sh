#!/usr/bin/env bash
# Microsoft's Python clients against what our adapters write (DESIGN 11).
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/clients/install.sh
OPSLOOP_PYTHON="$python" cargo test --locked --quiet --package opsloop-tests --test cosmos_python -- --ignored
