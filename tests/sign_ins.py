"""A browser without its scripts, for the wrong turns of a sign-in."""

from urllib.parse import parse_qsl, urlsplit

import httpx

from own_issuer import OwnIssuer

HTML = {"Accept": "text/html"}
EVIL = [
    *("//evil.example.com", "/\\evil.example.com", "\\\\evil.example.com", "///evil", "/\t/evil.example.com"),
    *("/\n/evil", "/\r\nSet-Cookie: a=b", "https://evil.example.com", "evil.example.com", "javascript:alert(1)"),
    *("", "?x", "/docs#x\x00", "/ä", "/ docs", "/docs\\..", "/login", "/login/callback?code=1", "/" + "a" * 2000),
    *("/../user/mallory/x", "/%2e%2e/user/x", "/.%2E/x", "/./login", "/docs/x/%2e%2e/y", "/a/..?b", "/..#c"),
]
"""What is no path of a page of ours; much of it a browser could take for another site."""


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
