#!/usr/bin/env bash
# Adds somebody to the realm of the stack's Keycloak, with a first password that is drawn here, printed once, and changed at
# the first sign-in.
#
#   deploy/add_user.sh ana                  ana
#   deploy/add_user.sh ana analysts ...     ana, a member of groups that the realm has
set -euo pipefail
if [ "$#" -lt 1 ] || ! [[ "$*" =~ ^[a-z][a-z0-9._-]*(\ [A-Za-z0-9._-]+)*$ ]]; then
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2
  exit 2
fi
name="$1" && shift
groups="" && for group in "$@"; do groups+="${groups:+, }\"/$group\""; done
password="$(head -c 9 /dev/urandom | base64 | tr '+/' '-_')"
# The passwords go by the input and the environment of the container, and are no argument of a process.
cd "$(dirname "$0")"
docker compose exec -T keycloak bash -c '
  KC_CLI_PASSWORD="$KC_BOOTSTRAP_ADMIN_PASSWORD" exec /opt/keycloak/bin/kcadm.sh create users --target-realm pressroom --file - \
    --no-config --server http://127.0.0.1:8080 --realm master --user "$KC_BOOTSTRAP_ADMIN_USERNAME"' <<JSON
{"username": "$name", "enabled": true, "groups": [$groups],
 "credentials": [{"type": "password", "value": "$password", "temporary": true}]}
JSON
echo "The first password of $name: $password"
