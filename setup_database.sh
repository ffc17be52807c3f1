#!/usr/bin/env bash
# Makes the role and the database "notebook_manager" on a PostgreSQL server that is already there, and migrates it.
# It can be run again without harm.
#
#   ./setup_database.sh                                    the server and administrator of PGHOST, PGUSER, PGPASSWORD, ...
#   ./setup_database.sh postgresql://postgres@db.example/  the server and administrator of this URL
#
# A password in the argument can be read by everyone on this machine while this runs: PGPASSWORD or ~/.pgpass keeps it
# out. The new role's password is PRESSROOM_DATABASE_PASSWORD; without it one is made up and printed once.
set -euo pipefail

case "${1:-}" in
  -h | --help)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0"
    exit 0
    ;;
esac
if [ "$#" -gt 1 ]; then
  echo "setup_database.sh takes one argument at most, the administrator's URL." >&2
  exit 2
fi
if [ "$#" -eq 1 ]; then
  export PRESSROOM_ADMIN_URL="$1" # from here on it is no argument of a process
fi

here="$(cd "$(dirname "$0")" && pwd)"
for python in "$here/.venv/bin/python" python3 python; do
  if command -v "$python" >/dev/null 2>&1 && "$python" -c 'import pressroom.database' >/dev/null 2>&1; then
    exec "$python" -m pressroom.database.setup
  fi
done
echo "No Python with Pressroom was found: install it first (pip install $here)." >&2
exit 1
