#!/usr/bin/env bash
# Writes .env beside the compose file: every secret of the stack, drawn at random. It overwrites nothing: a file that is there
# gets what it lacks, as after an upgrade.
#
#   deploy/make_env.sh          deploy/.env
#   deploy/make_env.sh FILE     another file
set -euo pipefail
file="${1:-$(cd "$(dirname "$0")" && pwd)/.env}"
umask 077
# 32 random bytes, in characters that need no quoting in a shell, a URL or JSON.
secret() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
# Pressroom's key is one of Fernet: 32 bytes in the base64 of URLs.
key() { head -c 32 /dev/urandom | base64 | tr '+/' '-_'; }
NAMES=(POSTGRES_PASSWORD PRESSROOM_DATABASE_PASSWORD KEYCLOAK_DATABASE_PASSWORD KEYCLOAK_ADMIN_PASSWORD
  JUPYTERHUB_OIDC_CLIENT_SECRET JUPYTERHUB_CRYPT_KEY PRESSROOM_JUPYTERHUB_API_TOKEN PRESSROOM_METRICS_TOKEN
  PRESSROOM_MACHINE_CLIENT_SECRET CONFIGPROXY_AUTH_TOKEN PRESSROOM_SECRET_KEY)
drawn() { if [ "$1" = PRESSROOM_SECRET_KEY ]; then key; else secret; fi; }

# Written under another name until it is whole.
part="$(mktemp "$file.XXXXXX")" && trap 'rm -f "$part"' EXIT
if [ -e "$file" ]; then
  cp "$file" "$part"
  added=()
  for name in "${NAMES[@]}"; do
    grep -q "^STACK_$name=" "$file" && continue
    printf '\nSTACK_%s=%s\n' "$name" "$(drawn "$name")" >>"$part"
    added+=("STACK_$name")
  done
  if [ "${#added[@]}" = 0 ]; then
    echo "$file has every secret already, and stays as it is." >&2
  else
    mv -T "$part" "$file"
    echo "$file had no ${added[*]}: added." >&2
  fi
  exit
fi
text="# Secrets of this stack. Keep a copy with the database's: what is encrypted is lost without them."
for name in "${NAMES[@]}"; do text+=$'\n'"STACK_$name=$(drawn "$name")"; done
text+='

# PostgreSQL is one of the containers. For a server of your own, delete this line and say where the databases are:
COMPOSE_PROFILES=postgres
# STACK_DATABASE_URL=postgresql://notebook_manager:PASSWORD@host.docker.internal/notebook_manager
# STACK_KEYCLOAK_DB_URL=jdbc:postgresql://host.docker.internal/keycloak

# What people write into their browsers; with TLS in front, addresses of https://, and KC_PROXY_HEADERS=xforwarded.
# STACK_HUB_URL=http://hub.localhost:8000
# STACK_KEYCLOAK_URL=http://keycloak.localhost:8080
# STACK_LISTEN=127.0.0.1

# How many workers there are, and what each of them, all servers of users together, and the others may take.
# STACK_WORKERS=1
# STACK_WORKER_MEMORY=4g
# STACK_WORKER_PROCESSES=2048
# STACK_WORKER_TMP=2g
# STACK_HUB_MEMORY=8g
# STACK_HUB_PROCESSES=4096
# STACK_POSTGRES_MEMORY=2g
# STACK_KEYCLOAK_MEMORY=1500m'
printf '%s\n' "$text" >"$part"
# Of two that run at once, one is refused.
ln -T "$part" "$file"
# What the containers read of this folder is theirs to read, whatever umask it was cloned with; nothing of it is secret.
folder="$(cd "$(dirname "$0")" && pwd)"
chmod go+rX "$folder/keycloak" "$folder/postgres" "$folder"/keycloak/* "$folder"/postgres/*
