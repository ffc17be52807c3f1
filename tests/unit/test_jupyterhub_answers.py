"""Whatever the Hub answers, it makes a user or a refusal, and never an administrator without a reason."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.database.shared_read import SharedReads
from pressroom.identity.jupyterhub import HubTokens, Refusal
from pressroom.identity.principal import ADMIN, Principal
from pressroom.identity.usernames import username_of
from pressroom.settings import Settings

ACCESS = "access:services!service=pressroom"
SCOPES = st.sampled_from([ACCESS, "access:services", "custom:pressroom:admin", "custom:pressroom:write", "admin:users"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MODELS = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["user", "service"]) | JSON,
        "name": st.sampled_from(["ana", "service-reports", "\uff41na", "x" * 99]) | JSON,
        "admin": JSON,
        "groups": st.lists(st.text() | JSON, max_size=3) | JSON,
        "scopes": st.lists(SCOPES, max_size=4) | JSON,
    },
)


@pytest.fixture(scope="module")
def tokens() -> HubTokens:
    """What judges the Hub's answers; nobody is asked here."""
    settings = Settings(auth=["jupyterhub"], jupyterhub_api_url="http://127.0.0.1:9/hub/api")
    return HubTokens(settings, httpx.AsyncClient(), SharedReads())


@given(model=MODELS)
def test_an_answer_makes_a_user_or_a_refusal(tokens: HubTokens, model: dict[str, object]) -> None:
    said = tokens._judged(model)
    held = model["scopes"] if isinstance(model.get("scopes"), list) else []
    if isinstance(said, Refusal):
        return
    assert isinstance(said, Principal)
    assert ACCESS in held or "access:services" in held
    assert username_of(said.username) == said.username
    assert said.username == ("service-" if model["kind"] == "service" else "") + str(model["name"])
    assert said.username.startswith("service-") == (model["kind"] == "service")
    assert (ADMIN in said.roles) == ("custom:pressroom:admin" in held)


@pytest.mark.parametrize("name", ["ana", "service-reports", "\uff41na"])
def test_the_names_that_are_tried_are_taken_and_refused(tokens: HubTokens, name: str) -> None:
    said = tokens._judged({"kind": "user", "name": name, "scopes": [ACCESS]})
    assert isinstance(said, Principal) == (name == "ana")
