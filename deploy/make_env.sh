#!/usr/bin/env bash
# Writes .env beside the compose file: every secret of the stack, drawn at random. It overwrites nothing.
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
text="# Secrets of this stack. Keep a copy with the database's: what is encrypted is lost without them."
for name in POSTGRES_PASSWORD PRESSROOM_DATABASE_PASSWORD KEYCLOAK_DATABASE_PASSWORD KEYCLOAK_ADMIN_PASSWORD \
  JUPYTERHUB_OIDC_CLIENT_SECRET PRESSROOM_MACHINE_CLIENT_SECRET CONFIGPROXY_AUTH_TOKEN; do
  text+=$'\n'"$name=$(secret)"
done
text+=$'\n'"PRESSROOM_SECRET_KEY=$(key)"
text+='

# PostgreSQL is one of the containers. For a server of your own, delete this line and say where the databases are:
COMPOSE_PROFILES=postgres
# DATABASE_URL=postgresql://notebook_manager:PASSWORD@host.docker.internal/notebook_manager
# KEYCLOAK_DB_URL=jdbc:postgresql://host.docker.internal/keycloak

# What people write into their browsers; with TLS in front, addresses of https://, and KC_PROXY_HEADERS=xforwarded.
# HUB_URL=http://hub.localhost:8000
# KEYCLOAK_URL=http://keycloak.localhost:8080
# LISTEN=127.0.0.1'
# noclobber opens the file exclusively, so of two that run at once one is refused.
set -o noclobber
if ! { printf '%s\n' "$text" >"$file"; } 2>/dev/null; then
  echo "$file is there already, or cannot be written; delete it to draw new secrets, which the data of the old ones does not know." >&2
  exit 1
fi
