"""Who is let through to the service, and what browsers are told of its answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from pressroom.settings import Settings

PORTAL, ELSEWHERE = "https://portal.example.com", "https://elsewhere.example.com"
SECRET = "a-long-enough-metrics-token"


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """The settings of a service for others than the local user, with what the test asks for."""
    known = settings.model_dump(exclude={"database_url", "metrics_token"}, exclude_unset=True)
    given = known | {
        "auth": ["oidc"],
        "oidc_issuer": "https://issuer.example.com",
        "database_url": settings.database_url,
        "metrics_token": SECRET,
        "workers": 0,
    }
    return Settings(**(given | getattr(request, "param", {})))


@pytest.fixture
def door(service: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


def asked_by(*values: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("settings", values, indirect=True)


@asked_by({"public_url": "https://pressroom.example.com"})
def test_every_answer_tells_browsers_what_they_may_make_of_it(door: httpx.Client) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    answers = [
        door.get("/health"),
        door.get("/db/notebooks", headers=wrong),
        door.get("/nothing"),
        door.get("/", headers={"Host": "evil.example.com"}),
        door.post("/execute", content=b"x" * (9 * 2**20)),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 404, 400, 413]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_an_answer_that_is_kept_has_them_too_once_each(http: httpx.Client) -> None:
    """The last two come from memory."""
    for answer in [http.get("/db/notebooks") for _ in range(4)]:
        assert answer.headers.get_list("X-Frame-Options") == ["DENY"]
        assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"]


@asked_by({"auth": ["local"], "workers": 1, "public_url": "http://pressroom.example.com"})
def test_a_rendered_notebook_keeps_its_own_policy_and_without_https_none_is_asked_for(
    door: httpx.Client, notebook: Path
) -> None:
    done = door.post("/execute", json={"input_path": str(notebook)}).json()
    page = door.get(f"/db/executions/{done['execution_id']}/html")
    [policy] = page.headers.get_list("Content-Security-Policy")
    assert policy.startswith("sandbox allow-scripts;")
    assert "X-Frame-Options" not in page.headers
    assert "Strict-Transport-Security" not in page.headers
    token = door.post("/db/tokens", json={"scopes": ["read"]})
    assert token.headers["Cache-Control"] == "no-store"


def preflight(door: httpx.Client, origin: str, method: str = "POST") -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    return door.options("/execute", headers=asked | {"Access-Control-Request-Headers": "authorization, prefer"})


@asked_by({"cors_origins": PORTAL})
def test_pages_of_an_origin_that_is_let_in_may_call_and_no_others(door: httpx.Client) -> None:
    allowed = preflight(door, PORTAL)
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == PORTAL
    assert "Access-Control-Allow-Credentials" not in allowed.headers
    assert "Authorization" in allowed.headers["Access-Control-Allow-Headers"]
    for origin in (ELSEWHERE, "null", f"{PORTAL}.evil.com", "http://portal.example.com", f"{PORTAL}:8443"):
        refused = preflight(door, origin)
        assert refused.status_code == 400, origin
        assert "Access-Control-Allow-Origin" not in refused.headers, origin
    assert preflight(door, PORTAL, "TRACE").status_code == 400
    answer = door.get("/health", headers={"Origin": PORTAL})
    assert answer.headers["Access-Control-Allow-Origin"] == PORTAL
    assert "X-Total-Count" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Origin" not in door.get("/health", headers={"Origin": ELSEWHERE}).headers


def test_without_any_origin_there_is_no_cors(door: httpx.Client) -> None:
    assert preflight(door, PORTAL).status_code == 405
    assert not [name for name in door.get("/health", headers={"Origin": PORTAL}).headers if "access-control" in name]


@asked_by({"allowed_hosts": "pressroom.example.com,*.lab.example.com"}, {"public_url": "https://pressroom.example.com"})
def test_a_name_that_is_not_the_services_own_is_refused_by_name(door: httpx.Client, settings: Settings) -> None:
    for host in ("pressroom.example.com", "PRESSROOM.example.com:8443", "pressroom.example.com."):
        assert door.get("/", headers={"Host": host}).status_code == 200, host
    below = door.get("/", headers={"Host": "a.lab.example.com"})
    assert below.status_code == (200 if settings.allowed_hosts else 400)
    for host in (
        "evil.example.com",
        "lab.example.com",
        "pressroom.example.com.evil.com",
        "a@pressroom.example.com",
        "[",
    ):
        answer = door.get("/", headers={"Host": host})
        assert answer.status_code == 400, host
        assert answer.json()["type"] == "/problems/host-not-allowed"
        assert host in answer.json()["detail"]
    assert door.get("/").status_code == (400 if settings.allowed_hosts else 200)  # 127.0.0.1
    assert door.get("/metrics", headers={"Host": "evil.example.com"}).status_code == 400, "a page that took this name"
    monitored = door.get("/metrics", headers={"Host": "10.0.0.7:8002", "Authorization": f"Bearer {SECRET}"})
    assert monitored.status_code == door.get("/health", headers={"Host": "10.0.0.7:8002"}).status_code == 200


FORWARDED = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9", "X-Forwarded-Proto": "https"}


def refused_from(door: httpx.Client, database_url: Any) -> str:
    """The address that the audit has of a refusal whose headers say that it came from elsewhere."""
    assert door.get("/db/notebooks", headers=FORWARDED).status_code == 401
    with psycopg.connect(database_url.set(drivername="postgresql").render_as_string(hide_password=False)) as known:
        return known.execute("SELECT address FROM audit_log").fetchone()[0]  # type: ignore[index]


@asked_by({}, {"trusted_proxies": "10.0.0.0/8,::1"})
def test_nobody_else_is_believed_from_where_a_request_comes(door: httpx.Client, database_url: Any) -> None:
    assert refused_from(door, database_url) == "127.0.0.1"


@asked_by({"trusted_proxies": "127.0.0.0/8"}, {"trusted_proxies": "127.0.0.1, 203.0.113.9"})
def test_a_proxy_that_is_trusted_says_who_calls(door: httpx.Client, database_url: Any, settings: Settings) -> None:
    """The last address that no trusted proxy has is who called: what stands before it, anybody may have written."""
    last = "198.51.100.1" if "203.0.113.9" in settings.trusted_proxies else "203.0.113.9"
    assert refused_from(door, database_url) == last


@asked_by({"trusted_proxies": "127.0.0.1", "auth": ["local"]})
def test_links_are_by_https_where_the_proxy_says_so(door: httpx.Client) -> None:
    for _ in range(2):
        assert door.post("/db/tokens", json={"scopes": ["read"]}).status_code == 201
    assert door.get("/db/tokens?limit=1").headers["Link"].startswith("<http://")
    assert door.get("/db/tokens?limit=1", headers=FORWARDED).headers["Link"].startswith("<https://")


@asked_by({"refusals_per_minute": 15, "trusted_proxies": "127.0.0.1"})
def test_a_flood_of_strangers_is_answered_429_and_fills_no_table(door: httpx.Client, database_url: Any) -> None:
    def ask(address: str) -> httpx.Response:
        return door.get("/db/notebooks", headers={"X-Forwarded-For": address, "Authorization": "Bearer wrong"})

    answers = [ask("203.0.113.9") for _ in range(20)]
    assert [answer.status_code for answer in answers] == [401] * 15 + [429] * 5
    assert answers[-1].json()["setting"] == "PRESSROOM_REFUSALS_PER_MINUTE"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert ask("203.0.113.10").status_code == 401  # another address behind the same proxy
    with psycopg.connect(database_url.set(drivername="postgresql").render_as_string(hide_password=False)) as known:
        entries = known.execute("SELECT address, count(*) FROM audit_log GROUP BY 1 ORDER BY 1").fetchall()
    assert entries == [("203.0.113.10", 1), ("203.0.113.9", 10)]
