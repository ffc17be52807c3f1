#!/usr/bin/env bash
# Puts what deploy/back_up.sh has copied into a stack that is new: one of the same version or a later one, that has never
# been started. Then start it.
#
#   deploy/restore.sh FOLDER
set -euo pipefail
if [ "$#" -ne 1 ]; then
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2
  exit 2
fi
here="$(cd "$(dirname "$0")" && pwd)"
folder="$(cd "$1" && pwd)"
compose() { (cd "$here" && docker compose "$@"); }
umask 077

# All of it is looked at before any of it is put back.
for part in env pressroom.tar volumes.tar; do
  [ -s "$folder/$part" ] || { echo "$folder has no $part: it is no copy that deploy/back_up.sh has finished." >&2; exit 1; }
done
tar -tf "$folder/volumes.tar" >/dev/null
[ -e "$here/.env" ] || cp "$folder/env" "$here/.env"
if ! cmp -s "$folder/env" "$here/.env"; then
  echo "$here/.env has other secrets than the copy; put it away, or put what you have changed into the copy's env." >&2
  exit 1
fi
compose build --quiet
compose run --rm --no-deps -T --user "$(id -u):$(id -g)" --volume "$folder:/copy:ro,z" migrate \
  /opt/pressroom/bin/pressroom restore --verify /copy/pressroom.tar
if ! compose run --rm --no-deps -T --entrypoint bash jhub -c '[ -z "$(ls -A /home /var/lib/jupyterhub | grep -v :)" ]'; then
  echo "This stack has users or records already; docker compose down --volumes would take away all that it keeps." >&2
  exit 1
fi
if [[ $'\n'"$(compose config --services)"$'\n' == *$'\npostgres\n'* ]]; then
  compose up --detach --wait postgres
  compose exec -T postgres pg_restore --username=postgres --dbname=keycloak --single-transaction --exit-on-error \
    <"$folder/keycloak.dump"
else
  echo "Keycloak's database is on a server of your own: put your own copy of it back, else nobody is known." >&2
fi
compose run --rm --no-deps -T --user "$(id -u):$(id -g)" --volume "$folder:/copy:ro,z" migrate \
  /opt/pressroom/bin/pressroom restore /copy/pressroom.tar
compose run --rm --no-deps -T --entrypoint tar jhub \
  --extract --file=- --numeric-owner --same-owner --same-permissions --directory=/ <"$folder/volumes.tar"
echo "Restored. Start it in $here: docker compose up --detach --wait" >&2
