#!/usr/bin/env bash
# Records demo/recording.otlp anew, checks it and renews the counts in demo/README.md. Takes about a minute.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
demo="$(cd "$here/../../demo" && pwd)"
"$python" -B "$here/record.py" "$demo/recording.otlp"
"$python" -B "$here/summary.py" "$demo/recording.otlp" --write "$demo/README.md"
