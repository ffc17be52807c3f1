#!/usr/bin/env bash
# Executes the sales report with parameters on the embedded database, shows the history, and leaves the service running.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export PRESSROOM_SHARED_ROOTS="${PRESSROOM_SHARED_ROOTS:-$here}"
url="http://${PRESSROOM_HOST:-127.0.0.1}:${PRESSROOM_PORT:-8002}"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "Register the notebook, with the parameters that its parameters cell shows"
id=$(pressroom notebooks list --json | python3 -c '
import json, sys
print(next((n["id"] for n in json.load(sys.stdin) if n["file_path"] == sys.argv[1]), ""))' "$here/sales_report.ipynb")
if [ -z "$id" ]; then
  id=$(pressroom notebooks add "$here/sales_report.ipynb" --name "Regional sales" --tag report --infer --json |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
fi
pressroom notebooks show "$id"

say "Execute it: one month, one region"
pressroom run "$here/sales_report.ipynb" -p month 2026-09 -p region EMEA -p currency EUR

say "Its history"
pressroom executions list --notebook "$id"

say "The service: open $url/docs in a browser; Ctrl-C ends it"
exec pressroom serve
