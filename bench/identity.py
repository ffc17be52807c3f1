"""What it costs to know who calls: each kind of token beside no token at all, at one service, in one run.

Run it as ``python bench/identity.py [--requests 2000]``. It prints a table: how the caller is known, the median and the
99th percentile of a request over a connection that stays open, and how much more the median is than that of ``local``.
The requests are taken in turns, so that whatever else the machine does meets all of them. The issuer is one of the
bench's own on this machine, with a key of RSA 2048, as Keycloak has them; it is asked for its keys once.
"""

import sys

sys.path.append(sys.path.pop(0))  # beside this file, `queue` would not be the standard library's

import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey
from rich.console import Console
from rich.table import Table

from pressroom.database.embedded import EmbeddedServer

PATH = "/problems/not-found"
"""Asks who calls, and asks no database for its answer."""


def open_issuer(key: RSAKey) -> HTTPServer:
    """An issuer of that key, serving."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said: dict[str, object] = {"issuer": url, "jwks_uri": f"{url}/keys"}
            if self.path == "/keys":
                said = {"keys": [key.as_dict(private=False)]}
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def serve(database: str, issuer: str, port: int) -> subprocess.Popen[bytes]:
    """The service, taking requests."""
    environment = os.environ | {
        "DATABASE_URL": database,
        "PRESSROOM_PORT": str(port),
        "PRESSROOM_WORKERS": "0",
        "PRESSROOM_AUTH": "local,oidc",
        "PRESSROOM_OIDC_ISSUER": issuer,
        "PRESSROOM_LOG_LEVEL": "warning",
    }
    program = Path(sys.executable).with_name("pressroom")
    service = subprocess.Popen([program, "serve"], env=environment)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return service
    raise SystemExit("the service did not start")


def claims(issuer: str) -> dict[str, object]:
    """What Keycloak says of a person, about as long."""
    now = int(time.time())
    return {
        "iss": issuer,
        "aud": ["pressroom", "account"],
        "exp": now + 3600,
        "iat": now,
        "sub": "9a85aae6-a743-4ee9-9949-64cfb886ae14",
        "typ": "Bearer",
        "azp": "pressroom",
        "realm_access": {"roles": ["default-roles-pressroom", "offline_access", "uma_authorization"]},
        "resource_access": {"account": {"roles": ["manage-account", "manage-account-links", "view-profile"]}},
        "scope": "openid email profile",
        "groups": ["/analysts", "/finance"],
        "preferred_username": "ana",
    }


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="of each kind")
    wanted = parser.parse_args().requests
    key = RSAKey.generate_key(2048, {"kid": "bench", "use": "sig", "alg": "RS256"})
    issuer = open_issuer(key)
    url = f"http://127.0.0.1:{issuer.server_port}"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        embedded = EmbeddedServer(Path(folder))
        database = embedded.start().render_as_string(hide_password=False)
        upgrade = [Path(sys.executable).with_name("pressroom"), "db", "upgrade"]
        subprocess.run(upgrade, check=True, env=os.environ | {"DATABASE_URL": database})
        service = serve(database, url, port)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
                made = http.post("/db/tokens", json={"name": "bench", "scopes": ["read"]})
                made.raise_for_status()
                kinds = {
                    "local, no token": {},
                    "oidc, an access token": {
                        "Authorization": f"Bearer {jwt.encode({'alg': 'RS256', 'kid': 'bench'}, claims(url), key)}"
                    },
                    "a personal access token": {"Authorization": f"Bearer {made.json()['token']}"},
                }
                taken: dict[str, list[float]] = {kind: [] for kind in kinds}
                for number in range(wanted + 100):
                    for kind, headers in kinds.items():
                        began = time.perf_counter()
                        http.get(PATH, headers=headers).raise_for_status()
                        if number >= 100:
                            taken[kind].append((time.perf_counter() - began) * 1000)
        finally:
            service.terminate()
            service.wait(30)
            embedded.stop()
            issuer.shutdown()
    table = Table("known by", "median ms", "99th ms", "more than local, ms")
    base = statistics.median(taken["local, no token"])
    for kind, times in taken.items():
        median = statistics.median(times)
        table.add_row(kind, f"{median:.2f}", f"{statistics.quantiles(times, n=100)[98]:.2f}", f"{median - base:+.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
