"""An issuer of the tests' own, and a browser without its scripts, for the wrong turns of a sign-in."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey

HTML = {"Accept": "text/html"}
KEY, ANOTHER = RSAKey.generate_key(2048, {"kid": "k"}), RSAKey.generate_key(2048, {"kid": "k"})
EVIL = [
    *("//evil.example.com", "/\\evil.example.com", "\\\\evil.example.com", "///evil", "/\t/evil.example.com"),
    *("/\n/evil", "/\r\nSet-Cookie: a=b", "https://evil.example.com", "evil.example.com", "javascript:alert(1)"),
    *("", "?x", "/docs#x\x00", "/ä", "/ docs", "/docs\\..", "/login", "/login/callback?code=1", "/" + "a" * 2000),
    *("/../user/mallory/x", "/%2e%2e/user/x", "/.%2E/x", "/./login", "/docs/x/%2e%2e/y", "/a/..?b", "/..#c"),
]
"""What is no path of a page of ours; much of it a browser could take for another site."""


def at_hash(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()[:16]).rstrip(b"=").decode()


class OwnIssuer:
    """An issuer on a real port, which answers to every code as the test wants. ``nonce``: that of the sign-in."""

    def __init__(self) -> None:
        issuer = self
        self.nonce = ""
        self.asked: list[tuple[dict[str, str], str]] = []
        self.answer: Callable[[], tuple[int, Any]] = lambda: (200, self.tokens())

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys = {"keys": [KEY.as_dict(private=False)]}
                self.send(200, issuer.metadata if "well-known" in self.path else keys)

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
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.metadata: dict[str, Any] = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/auth",
            "token_endpoint": f"{self.url}/token",
            "end_session_endpoint": f"{self.url}/logout",
        }

    def __enter__(self) -> "OwnIssuer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        said = {"iss": self.url, "aud": "pressroom", "exp": now + 300, "iat": now, "sub": "1"} | changes
        return {name: value for name, value in said.items() if value is not ...}

    def access(self, **changes: Any) -> str:
        return jwt.encode({"alg": "RS256", "kid": "k"}, self.claims(preferred_username="ben", **changes), KEY)

    def tokens(self, access: str | None = None, key: RSAKey = KEY, **changes: Any) -> dict[str, Any]:
        access = self.access() if access is None else access
        said = self.claims(**({"nonce": self.nonce, "at_hash": at_hash(access), "sid": "s-1"} | changes))
        return {"access_token": access, "id_token": jwt.encode({"alg": "RS256", "kid": "k"}, said, key)}


class Browser:
    """A browser without its scripts: it keeps cookies, and goes where it is told."""

    def __init__(self, url: str, issuer: OwnIssuer) -> None:
        self.http, self.issuer = httpx.Client(base_url=url, headers=HTML, timeout=30), issuer

    def begin(self, next_path: str = "/redoc") -> dict[str, str]:
        """To the issuer; what it is asked."""
        sent = self.http.get("/login", params={"next": next_path})
        assert sent.status_code == 303, sent.text
        address = urlsplit(sent.headers["Location"])
        assert f"{address.scheme}://{address.netloc}{address.path}" == f"{self.issuer.url}/auth"
        asked = dict(parse_qsl(address.query))
        self.issuer.nonce = asked["nonce"]
        return asked

    def come_back(self, state: str, **more: str) -> httpx.Response:
        return self.http.get("/login/callback", params={"code": "c", "state": state} | more)

    def whoami(self) -> str | None:
        told = self.http.get("/session", headers={"Accept": "application/json"})
        return told.json()["username"] if told.is_success else None
