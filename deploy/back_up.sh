#!/usr/bin/env bash
# Copies all that the stack keeps into a new folder: both databases, users' homes and accounts, the Hub's records, and .env
# with the secrets, without which the rest is worth little. The Hub and the workers are stopped meanwhile, so that all of it
# is of one moment. deploy/restore.sh is the way back.
#
#   deploy/back_up.sh FOLDER
set -euo pipefail
if [ "$#" -ne 1 ]; then
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2
  exit 2
fi
here="$(cd "$(dirname "$0")" && pwd)"
compose() { docker compose --file "$here/docker-compose.yml" "$@"; }
umask 077
mkdir "$1" && folder="$(cd "$1" && pwd)"

cp "$here/.env" "$folder/env"
compose stop jhub worker
trap 'compose start jhub worker' EXIT
# A server of your own has copies of Keycloak's database by your own means.
if [[ $'\n'"$(compose config --services)"$'\n' == *$'\npostgres\n'* ]]; then
  compose exec -T postgres pg_dump --username=postgres --format=custom keycloak >"$folder/keycloak.dump"
fi
compose run --rm --no-deps -T --user "$(id -u):$(id -g)" --volume "$folder:/copy:z" migrate \
  /opt/pressroom/bin/pressroom backup /copy/pressroom.tar
compose run --rm --no-deps -T --entrypoint tar jhub \
  --create --file=- --numeric-owner --directory=/ home var/lib/extrausers var/lib/jupyterhub >"$folder/volumes.tar"
echo "Copied into $folder. It holds every secret and every file of the users'." >&2
