#!/usr/bin/env bash
# Sees to it that a Docker Engine answers, with compose and buildx at its client: installs and starts them where there are
# none. As root, on Debian. Prints what to put into the environment, in the shell's words.
#
#   eval "$(tests/deploy/engine.sh)"
#
# Ends with 3 where no engine can be had: without root, in a container that lets root make no others, without Debian's
# packages. Ends with 1 where one can be had and does not start.
set -euo pipefail
cache="${XDG_CACHE_HOME:-$HOME/.cache}/pressroom-tests/docker"
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
say() { echo "$*" >&2; }

engine() {
  docker info >/dev/null 2>&1 && return
  [ "$(id -u)" = 0 ] || { say "No engine answers, and without root none is started."; exit 3; }
  unshare --mount --net mount -t tmpfs none /mnt 2>/dev/null ||
    { say "No engine answers, and none can run here: root may make no namespaces or mounts."; exit 3; }
  if ! command -v dockerd >/dev/null; then
    say "Installing docker.io"
    apt-get update -qq && apt-get install -qq -y --no-install-recommends docker.io iptables >/dev/null ||
      { say "No engine answers, and docker.io cannot be installed."; exit 3; }
  fi
  # With a session and descriptors of its own: it stays for the next run of the tests.
  setsid nohup dockerd --storage-driver=overlay2 >"$cache/dockerd.log" 2>&1 9>&- </dev/null &
  pid=$!
  echo "$pid" >"$cache/dockerd.pid"
  for _ in $(seq 120); do
    docker info >/dev/null 2>&1 && { say "Started a Docker Engine, which stays; kill $pid ends it."; return; }
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.5
  done
  say "dockerd does not start:"
  tail -20 "$cache/dockerd.log" >&2
  exit 1
}

# Debian 12 has no compose of version 2; what is unpacked from Debian 13 runs on it, too.
plugins() {
  docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1 && return
  export DOCKER_CONFIG="$cache/client"
  docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1 && return
  say "Fetching compose and buildx"
  local apt="$cache/apt"
  rm -rf "$apt" && mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$DOCKER_CONFIG/cli-plugins"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >"$apt/sources.list"
  local options=(-qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt"
    -o "APT::Sandbox::User=root" -o "pkgCacheFile=" -o "srcPkgCacheFile=")
  apt-get "${options[@]}" update
  (cd "$apt" && apt-get "${options[@]}" download docker-compose docker-buildx)
  for package in "$apt"/*.deb; do dpkg-deb -x "$package" "$apt/unpacked"; done
  cp "$apt"/unpacked/usr/libexec/docker/cli-plugins/* "$DOCKER_CONFIG/cli-plugins/"
  docker compose version >&2 && docker buildx version >&2
}

engine
plugins
echo "export DOCKER_CONFIG='${DOCKER_CONFIG:-$HOME/.docker}' DOCKER_BUILDKIT=1"
