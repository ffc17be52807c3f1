"""Who is calling, over HTTP."""

import httpx
import pytest

from pressroom.app import create_app
from pressroom.rights_table import endpoints
from pressroom.settings import Settings


@pytest.mark.parametrize("path", ["/db/notebooks", "/db/executions/1", "/list-notebooks/ana", "/kernels"])
def test_a_wrong_token_is_401_although_none_would_be_the_local_user(http: httpx.Client, path: str) -> None:
    answer = http.get(path, headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/not-authenticated"


def test_an_answer_that_is_kept_is_for_whoever_may_see_it(http: httpx.Client) -> None:
    """The third answer comes from memory, and is nobody's whose token is wrong."""
    answers = [http.get("/db/notebooks") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert http.get("/db/notebooks", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert http.get("/db/notebooks").status_code == 200


def test_an_answer_that_is_kept_needs_the_scope_that_it_was_made_for(http: httpx.Client) -> None:
    """A token that may act as others sees what they see; without the scope of the endpoint it reads none of it."""
    made = http.post("/db/tokens", json={"scopes": ["act"]}).json()
    acting = {"Authorization": f"Bearer {made['token']}"}
    for path in ("/db/notebooks?limit=7", "/db/executions?limit=7"):
        assert [http.get(path).status_code for _ in range(4)] == [200] * 4
        refused = http.get(path, headers=acting)
        assert refused.status_code == 403
        assert refused.json()["scope"] == "read"
        entry = http.get("/db/audit", params={"allowed": False, "limit": 1}).json()[0]
        assert (entry["token_id"], entry["status"]) == (made["id"], 403)


def test_what_is_open_asks_for_no_identity(http: httpx.Client) -> None:
    for path in ("/", "/health", "/docs", "/redoc", "/openapi.json", "/metrics"):
        assert http.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 200, path


def test_an_endpoint_that_does_not_say_what_it_needs_is_no_part_of_a_service(settings: Settings) -> None:
    app = create_app(settings)
    assert endpoints(app)

    @app.get("/forgotten")
    async def forgotten() -> None:
        """It says nothing."""

    with pytest.raises(RuntimeError, match="/forgotten"):
        endpoints(app)


def test_what_is_open_is_little(settings: Settings) -> None:
    found = {endpoint.path for endpoint in endpoints(create_app(settings)) if endpoint.right is None}
    served = {"/static-offline-docs"}  # by /docs itself
    signing_in = {"/login", "/login/callback", "/oauth_callback", "/logout/backchannel"}
    assert found - served - signing_in == {
        "/",
        "/health",
        "/docs",
        "/redoc",
        "/openapi.json",
        "/metrics",
        "/assets/{name}",
    }
