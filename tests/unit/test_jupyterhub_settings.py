"""What a service is told by the Hub that starts it."""

import pytest
from pydantic import ValidationError

from pressroom.settings import Settings

TOLD = {
    "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
    "JUPYTERHUB_PUBLIC_URL": "https://hub.example.com/services/pressroom/",
    "JUPYTERHUB_SERVICE_NAME": "pressroom",
    "JUPYTERHUB_SERVICE_PREFIX": "/services/pressroom/",
    "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:9002/services/pressroom/",
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in TOLD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_service_that_a_hub_starts_is_where_the_hub_expects_it(told: pytest.MonkeyPatch) -> None:
    settings = Settings()
    assert settings.auth == ["jupyterhub"]
    assert (settings.host, settings.port, settings.root_path) == ("127.0.0.1", 9002, "/services/pressroom")
    assert settings.jupyterhub_api_url == TOLD["JUPYTERHUB_API_URL"]
    assert settings.public_url == "https://hub.example.com/services/pressroom"


def test_pressrooms_own_settings_come_first(told: pytest.MonkeyPatch) -> None:
    told.setenv("PRESSROOM_JUPYTERHUB_API_URL", "https://hub.example.com/hub/api/")
    told.setenv("PRESSROOM_PORT", "9003")
    settings = Settings(root_path="/other")
    assert (settings.host, settings.port, settings.root_path) == ("127.0.0.1", 9003, "/other")
    assert settings.jupyterhub_api_url == "https://hub.example.com/hub/api"
    assert Settings(jupyterhub_api_url="http://hub:8081/hub/api").jupyterhub_api_url == "http://hub:8081/hub/api"


def test_a_service_of_a_hub_has_no_local_user(told: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="could do everything"):
        Settings(auth=["local"])


def test_in_a_users_notebook_server_the_hubs_variables_change_nothing(told: pytest.MonkeyPatch) -> None:
    told.delenv("JUPYTERHUB_SERVICE_NAME")
    settings = Settings()
    assert (settings.auth, settings.port, settings.root_path) == (["local"], 8002, "")
    assert settings.public_url is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"auth": ["jupyterhub"]}, "needs PRESSROOM_JUPYTERHUB_API_URL"),
        ({"jupyterhub_api_url": "hub:8081/hub/api"}, "is no address"),
        ({"jupyterhub_api_url": "http://hub:99999/hub/api"}, "is no address"),
        ({"jupyterhub_access_gives": "read,admin"}, "'read', 'execute' or 'write'"),
        ({"root_path": "pressroom"}, "is no path"),
        ({"root_path": "/a//b"}, "is no path"),
        ({"root_path": '/"><script>'}, "is no path"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_in_a_sentence(given: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Settings(**given)
