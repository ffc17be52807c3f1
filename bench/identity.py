"""What it costs to know who calls: each kind of token, and a browser's session, beside no token at all, in one run.

Run it as ``python bench/identity.py [--requests 2000]``. It prints a table: how the caller is known, the median and the
99th percentile of a request over a connection that stays open, and how much more the median is than that of ``local``.
The requests are taken in turns, so that whatever else the machine does meets all of them.

The issuer is one of the bench's own on this machine, with a key of RSA 2048, as Keycloak has them; it is asked for its
keys once. The session is one of a browser that has signed in there, by the service's own endpoints. The Hub is a
stand-in: a server that answers ``GET /hub/api/user`` as JupyterHub does, and at once. So what is measured is a token
that the Hub has vouched for. It is asked anew every ``PRESSROOM_JUPYTERHUB_CACHE_SECONDS``, 30 as shipped, and how
often it was is printed.
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
from collections.abc import Callable
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


def answering(answer: Callable[[str], object]) -> HTTPServer:
    """A server that says what ``answer`` does to each path, serving."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def address(server: HTTPServer) -> str:
    """Where a server is."""
    return f"http://127.0.0.1:{server.server_port}"


class Issuer:
    """An issuer at which everybody is `ana`. ``nonce``: that of the sign-in under way."""

    def __init__(self) -> None:
        self._key = RSAKey.generate_key(2048, {"kid": "bench", "use": "sig", "alg": "RS256"})
        self.nonce = ""
        self.server = answering(self._answer)
        self.url = address(self.server)

    def _answer(self, path: str) -> object:
        if path == "/keys":
            return {"keys": [self._key.as_dict(private=False)]}
        if path == "/token":
            identity = self._claims() | {"aud": "pressroom", "nonce": self.nonce}
            return {"access_token": self.access_token(), "id_token": self._signed(identity)}
        ways = {"authorization_endpoint": f"{self.url}/auth", "token_endpoint": f"{self.url}/token"}
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"} | ways

    def access_token(self) -> str:
        """A token of a person, about as long as Keycloak's."""
        return self._signed(self._claims())

    def _signed(self, claims: dict[str, object]) -> str:
        return jwt.encode({"alg": "RS256", "kid": "bench"}, claims, self._key)

    def _claims(self) -> dict[str, object]:
        now = int(time.time())
        return {
            "iss": self.url,
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


class Hub:
    """Stands in for a JupyterHub, as far as its API says whose a token is."""

    def __init__(self) -> None:
        self.asked = 0
        self.server = answering(self._answer)
        self.api = f"{address(self.server)}/hub/api"

    def _answer(self, path: str) -> object:
        if path != "/hub/api/user":
            raise ValueError(f"the stand-in knows nothing of {path}")
        self.asked += 1
        scopes = ["access:services!service=pressroom", "custom:pressroom:execute", "read:users:name!user=ana"]
        return {"kind": "user", "name": "ana", "admin": False, "groups": ["analysts", "finance"], "scopes": scopes}


def session(service: str, issuer: Issuer) -> str:
    """The cookie of a browser that has signed in."""
    with httpx.Client(base_url=service) as browser:
        begun = browser.get("/login", params={"by": "oidc", "next": "/session"})
        asked = httpx.URL(begun.headers["Location"]).params
        issuer.nonce = asked["nonce"]
        back = browser.get("/login/callback", params={"code": "bench", "state": asked["state"]})
        if back.status_code != 303:
            raise SystemExit(f"nobody is signed in: {back.status_code} {back.text}")
        return f"pressroom_session={browser.cookies['pressroom_session']}"


def serve(database: str, issuer: Issuer, hub: Hub, port: int) -> subprocess.Popen[bytes]:
    """The service, taking requests."""
    environment = os.environ | {
        "DATABASE_URL": database,
        "PRESSROOM_PORT": str(port),
        "PRESSROOM_WORKERS": "0",
        "PRESSROOM_AUTH": "local,oidc,jupyterhub",
        "PRESSROOM_OIDC_ISSUER": issuer.url,
        "PRESSROOM_JUPYTERHUB_API_URL": hub.api,
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


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="of each kind")
    wanted = parser.parse_args().requests
    issuer, hub = Issuer(), Hub()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        embedded = EmbeddedServer(Path(folder))
        database = embedded.start().render_as_string(hide_password=False)
        upgrade = [Path(sys.executable).with_name("pressroom"), "db", "upgrade"]
        subprocess.run(upgrade, check=True, env=os.environ | {"DATABASE_URL": database})
        service = serve(database, issuer, hub, port)
        try:
            taken = measure(f"http://127.0.0.1:{port}", issuer, wanted)
        finally:
            service.terminate()
            service.wait(30)
            embedded.stop()
            issuer.server.shutdown()
            hub.server.shutdown()
    table = Table("known by", "median ms", "99th ms", "more than local, ms")
    base = statistics.median(taken["local, no token"])
    for kind, times in taken.items():
        median = statistics.median(times)
        table.add_row(kind, f"{median:.2f}", f"{statistics.quantiles(times, n=100)[98]:.2f}", f"{median - base:+.2f}")
    Console().print(table, f"The Hub's stand-in was asked {hub.asked} times.")


def measure(service: str, issuer: Issuer, wanted: int) -> dict[str, list[float]]:
    """So many requests of each kind, in turns: how long each took, in milliseconds."""
    with httpx.Client(base_url=service) as http:
        made = http.post("/db/tokens", json={"name": "bench", "scopes": ["read"]})
        made.raise_for_status()
        kinds = {
            "local, no token": {},
            "oidc, an access token": {"Authorization": f"Bearer {issuer.access_token()}"},
            "a browser's session": {"Cookie": session(service, issuer)},
            "a Hub's token (stand-in)": {"Authorization": "token 0123456789abcdef0123456789abcdef"},
            "a personal access token": {"Authorization": f"Bearer {made.json()['token']}"},
        }
        taken: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(wanted + 100):
            for kind, headers in kinds.items():
                began = time.perf_counter()
                http.get(PATH, headers=headers).raise_for_status()
                if number >= 100:
                    taken[kind].append((time.perf_counter() - began) * 1000)
    return taken


if __name__ == "__main__":
    main()
