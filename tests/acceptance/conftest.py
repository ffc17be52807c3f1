"""What tests of pages share: a service whose people sign in at a real Keycloak."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import URL

from keycloak import Realm
from pressroom.parameters.sealing import new_key
from pressroom.settings import Settings
from signed_in import Stage, staged


@pytest.fixture(scope="module")
def stage(realm: Realm, module_database_url: URL, open_module_directory: Path) -> Iterator[Stage]:
    """The module's service, where `cara` and `dora`, analysts, may execute."""
    for username in ("cara", "dora"):
        realm.add_user(username, groups=("analysts",))
    settings = Settings(
        database_url=SecretStr(module_database_url.render_as_string(hide_password=False)),
        users_root=open_module_directory / "home",
        secret_key=SecretStr(new_key()),
        grace_seconds=1,
        worker_grace_seconds=2,
        workers=2,
        preload=[],
    )
    settings.users_root.mkdir()
    with staged(settings, realm) as made:
        yield made
