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
compose() { (cd "$here" && docker compose "$@"); }
umask 077
[ ! -e "$1" ] || { echo "$1 is there already; nothing was copied." >&2; exit 1; }
# Under another name until it is whole.
mkdir "$1.part" && folder="$(cd "$1.part" && pwd)"
trap 'rm -rf "$folder"' EXIT

cp "$here/.env" "$folder/env"
compose stop jhub worker
trap 'rm -rf "$folder"; compose start jhub worker' EXIT
# A server of your own has copies of Keycloak's database by your own means.
if [[ $'\n'"$(compose config --services)"$'\n' == *$'\npostgres\n'* ]]; then
  compose exec -T postgres pg_dump --username=postgres --format=custom keycloak >"$folder/keycloak.dump"
fi
compose run --rm --no-deps -T --user "$(id -u):$(id -g)" --volume "$folder:/copy:z" migrate \
  /opt/pressroom/bin/pressroom backup /copy/pressroom.tar
compose run --rm --no-deps -T --entrypoint tar jhub \
  --create --file=- --numeric-owner --directory=/ home var/lib/extrausers var/lib/jupyterhub >"$folder/volumes.tar"
mv -T "$folder" "$1"
echo "Copied into $1. It holds every secret and every file of the users'." >&2
