#!/usr/bin/env bash
# Executes the sales report with parameters on the embedded database, shows the history, and leaves the service running.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export PRESSROOM_SHARED_ROOTS="${PRESSROOM_SHARED_ROOTS:-$here}"
url="http://${PRESSROOM_HOST:-127.0.0.1}:${PRESSROOM_PORT:-8002}"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "Register the notebook, with the parameters that its parameters cell shows"
read -r id taken < <(pressroom notebooks list --json | python3 -c '
import json, sys
known = json.load(sys.stdin)
ours = [n["id"] for n in known if n["file_path"] == sys.argv[1]]
print(*ours[:1] or ["-"], any(n["name"] == "Regional sales" for n in known))' "$here/sales_report.ipynb")
if [ "$id" = - ]; then
  name="Regional sales"
  [ "$taken" = False ] || name="$name of ${here%/examples}"  # another copy of this folder has shown its own
  id=$(pressroom notebooks add "$here/sales_report.ipynb" --name "$name" --tag report --infer --json |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
fi
pressroom notebooks show "$id"

say "Execute it: one month, one region"
pressroom run "$here/sales_report.ipynb" -p month 2026-09 -p region EMEA -p currency EUR

say "Its history"
pressroom executions list --notebook "$id"

say "The service: open $url/docs in a browser; Ctrl-C ends it"
exec pressroom serve
