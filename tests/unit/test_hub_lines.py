"""The lines for a Hub's configuration are those of the how-to page, of which a test starts a Hub."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config
from typer.testing import CliRunner

from hub import PAGE
from pressroom import hub_lines
from pressroom.cli.main import app
from pressroom.parameters.sealing import new_key
from pressroom.settings import Settings

INSTALLED = "/opt/pressroom/bin/pressroom"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which a server of one's own is all that is set."""
    for variable in [name for name in os.environ if name.startswith(("PRESSROOM_", "JUPYTERHUB_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("DATABASE_URL", "postgresql://pressroom:hunter2@127.0.0.1/pressroom")
    return monkeypatch


def printed(*words: str) -> str:
    done = CliRunner().invoke(app, ["hub", *words])
    assert done.exit_code == 0, done.output
    return done.output


def configured(text: str, **environment: str) -> Any:
    """What a Hub has of it, whose configuration has services already."""
    found = Config()
    found.JupyterHub.services = [{"name": "cull-idle"}]
    exec(text, {"c": found, "os": os} | environment)
    return found.JupyterHub


def test_the_page_has_what_the_command_prints() -> None:
    own = printed("--public-url", "https://hub.example.com")
    [page] = re.findall(r"```python\n(# jupyterhub_config\.py\nimport os\n.*?)```", PAGE.read_text(), re.DOTALL)
    here = re.findall(r'"command": \["([^"]+)"', own)
    assert Path(here[0]).name == "pressroom"
    assert Path(here[0]).is_absolute()
    assert own.replace(here[0], INSTALLED) == page


def test_they_add_to_a_configuration_and_replace_nothing_of_it() -> None:
    hub = configured(printed())
    assert [service["name"] for service in hub.services] == ["cull-idle", "pressroom"]
    assert hub.services[1]["url"] == "http://127.0.0.1:8002"
    assert hub.services[1]["environment"] == {"DATABASE_URL": os.environ["DATABASE_URL"]}


def test_an_address_that_is_not_known_is_no_more_than_an_example() -> None:
    assert "public_url" not in configured(printed())
    assert printed().rstrip().endswith('\n# c.JupyterHub.public_url = "https://hub.example.com"')
    assert configured(printed("--public-url", "https://hub.here/")).public_url == "https://hub.here"


def test_no_secret_is_printed_and_what_is_set_is_handed_on(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("PRESSROOM_SECRET_KEY", key := new_key())
    clean.setenv("PRESSROOM_USERS_ROOT", '/srv/"homes"')
    clean.setenv("PRESSROOM_PORT", "9002")
    text = printed("--name", "presses")
    assert "hunter2" not in text
    assert key not in text
    service = configured(text).services[1]
    assert (service["name"], service["url"]) == ("presses", "http://127.0.0.1:9002")
    assert service["environment"]["PRESSROOM_USERS_ROOT"] == '/srv/"homes"'
    assert service["environment"]["PRESSROOM_SECRET_KEY"] == os.environ["PRESSROOM_SECRET_KEY"]
    assert "access:services!service=presses" in text


def test_the_embedded_database_stays_where_it_is_whoever_starts_it(clean: pytest.MonkeyPatch) -> None:
    clean.delenv("DATABASE_URL")
    environment = configured(printed()).services[1]["environment"]
    assert environment == {"PRESSROOM_DATA_DIR": str(Settings().data_dir)}


def test_one_that_the_hub_does_not_start_is_told_what_it_would_be_told(clean: pytest.MonkeyPatch) -> None:
    """The comments, as an environment, are settings of a service of that Hub."""
    text = printed("--external", "--url", "http://10.0.0.7:8002", "--public-url", "https://hub.example.com/")
    clean.setenv(hub_lines.TOKEN, "0" * 64)
    service = configured(text).services[1]
    assert "command" not in service
    assert (service["api_token"], service["url"]) == ("0" * 64, "http://10.0.0.7:8002")
    told = dict(re.findall(r"^# (PRESSROOM_\w+)=(.*)$", text, re.MULTILINE))
    for name, value in told.items():
        clean.setenv(name, value)
    settings = Settings()
    assert settings.auth == ["jupyterhub"]
    assert settings.root_path == "/services/pressroom"
    assert settings.public_url == "https://hub.example.com/services/pressroom"
    page = set(re.findall(r"export (PRESSROOM_\w+)=", PAGE.read_text()))
    assert set(told) == page


def test_without_a_token_in_its_environment_the_hub_says_so() -> None:
    with pytest.raises(KeyError, match=hub_lines.TOKEN):
        configured(printed("--external"))
