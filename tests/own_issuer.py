"""An OIDC issuer of the tests' own, on a real port, for what a Keycloak would not say or sign."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jwt
from joserfc.jwk import RSAKey

KEY, ANOTHER = RSAKey.generate_key(2048, {"kid": "k"}), RSAKey.generate_key(2048, {"kid": "k"})


def at_hash(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()[:16]).rstrip(b"=").decode()


class OwnIssuer:
    """An issuer that publishes ``metadata`` and ``keys``, and answers to every code as the test wants.

    ``end``: that of its name. ``nonce``: that of the sign-in. ``asked``: what was sent for tokens. A body of bytes is
    sent as it is, any other as JSON.
    """

    def __init__(self, end: str = "") -> None:
        issuer = self
        self.nonce = ""
        self.asked: list[tuple[dict[str, str], str]] = []
        self.answer: Callable[[], tuple[int, Any]] = lambda: (200, self.tokens())
        self.keys: Any = [KEY.as_dict(private=False)]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = {"/.well-known/openid-configuration": issuer.metadata, "/keys": {"keys": issuer.keys}}
                self.send(200 if self.path in known else 404, known.get(self.path))

            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                issuer.asked.append((dict(parse_qsl(form)), self.headers.get("Authorization", "")))
                self.send(*issuer.answer())

            def send(self, status: int, body: Any) -> None:
                sent = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        base = f"http://127.0.0.1:{self._server.server_port}"
        self.url = base + end
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.metadata: Any = {
            "issuer": self.url,
            "jwks_uri": f"{base}/keys",
            "authorization_endpoint": f"{base}/auth",
            "token_endpoint": f"{base}/token",
            "end_session_endpoint": f"{base}/logout",
        }

    def __enter__(self) -> "OwnIssuer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a token of `ana`, without those that are ``...``; a time may be said from now on."""
        now = int(time.time())
        said = {"iss": self.url, "aud": "pressroom", "exp": now + 300, "iat": now, "sub": "1"}
        changed = said | {"preferred_username": "ana"} | changes
        # A test that is read now may be run in a quarter of an hour: its times are said from its run on.
        times = {k: now + int(v.total_seconds()) for k, v in changed.items() if isinstance(v, timedelta)}
        return {name: value for name, value in (changed | times).items() if value is not ...}

    def access(self, **changes: Any) -> str:
        """An access token of `ben`."""
        return jwt.encode({"alg": "RS256", "kid": "k"}, self.claims(preferred_username="ben", **changes), KEY)

    def tokens(self, access: str | None = None, key: RSAKey = KEY, **changes: Any) -> dict[str, Any]:
        """What is given for the code of the sign-in."""
        access = self.access() if access is None else access
        said = self.claims(**({"nonce": self.nonce, "at_hash": at_hash(access), "sid": "s-1"} | changes))
        return {"access_token": access, "id_token": jwt.encode({"alg": "RS256", "kid": "k"}, said, key)}
