"""What an administrator runs beside the product: what makes the accounts of the stack's users, and what draws secrets.

The stack itself is in tests/deploy.
"""

import base64
import importlib.util
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from oauthenticator.generic import GenericOAuthenticator

from pressroom import __version__

DEPLOY = Path(__file__).parents[2] / "deploy"


def module_of(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, DEPLOY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "accounts", tmp_path / "home"
    for folder in found:
        folder.mkdir()
    return found


def test_an_account_is_made_once_with_a_home_of_its_own(folders: tuple[Path, Path]) -> None:
    made = module_of("accounts").Accounts(*folders)
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(made.ensure, ["ana", "ben"] * 20))
    assert len(set(numbers)) == 2
    assert set(numbers) == {2000, 2001}
    for name, number in zip(("ana", "ben"), numbers, strict=False):
        home = (folders[1] / name).stat()
        assert (home.st_uid, home.st_gid, home.st_mode & 0o777) == (number, number, 0o700)
    assert sorted(line.split(":")[0] for line in (folders[0] / "passwd").read_text().splitlines()) == ["ana", "ben"]


def test_a_home_whose_account_was_lost_is_given_back_to_its_number(folders: tuple[Path, Path]) -> None:
    home = folders[1] / "cara"
    home.mkdir()
    os.chown(home, 2007, 2007)
    made = module_of("accounts").Accounts(*folders)
    assert made.ensure("dora") == 2008, "no number of another's files"
    assert made.ensure("cara") == 2007


def test_what_one_that_was_killed_has_left_is_made_whole(folders: tuple[Path, Path]) -> None:
    """Killed after the group and before the account, and between the making of a home and its giving away."""
    (folders[0] / "group").write_text("cara:x:2000:\ndora:x:2005:\n")
    (folders[1] / "_cara").mkdir(mode=0o700)
    made = module_of("accounts").Accounts(*folders)
    number = made.ensure("cara")
    assert number == 2006, "no number of another's group"
    assert (folders[0] / "group").read_text() == "dora:x:2005:\ncara:x:2006:\n"
    assert [(home.name, home.stat().st_uid) for home in folders[1].iterdir()] == [("cara", number)]


@pytest.mark.parametrize("name", ["root", "daemon", "Ana", "a:b", "a\nb", "../x", "", "-a", "a" * 33, "1"])
def test_a_name_that_no_user_may_have_is_refused(folders: tuple[Path, Path], name: str) -> None:
    module = module_of("accounts")
    with pytest.raises(module.Refused):
        module.Accounts(*folders).ensure(name)
    assert list(folders[1].iterdir()) == []


def test_a_home_that_is_roots_or_anothers_makes_no_account(folders: tuple[Path, Path]) -> None:
    module = module_of("accounts")
    made = module.Accounts(*folders)
    number = made.ensure("ana")
    for name, owner in (("erik", 0), ("fay", number)):
        (folders[1] / name).mkdir()
        os.chown(folders[1] / name, owner, owner)
        with pytest.raises(module.Refused, match="belongs to number"):
            made.ensure(name)


def test_secrets_are_drawn_once_for_one_person_to_read(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    subprocess.run([DEPLOY / "make_env.sh", file], check=True)
    assert file.stat().st_mode & 0o777 == 0o600
    lines = dict(line.split("=", 1) for line in file.read_text().splitlines() if line and not line.startswith("#"))
    drawn = {name: value for name, value in lines.items() if name != "COMPOSE_PROFILES"}
    assert len(set(drawn.values())) == len(drawn)
    assert len(base64.urlsafe_b64decode(drawn.pop("STACK_PRESSROOM_SECRET_KEY"))) == 32
    assert all(len(bytes.fromhex(value)) == 32 for value in drawn.values())
    wanted = {part.split(":?")[0] for part in (DEPLOY / "docker-compose.yml").read_text().split("${") if ":?" in part}
    assert wanted == {*drawn, "STACK_PRESSROOM_SECRET_KEY"}
    before = file.read_text()
    again = subprocess.run([DEPLOY / "make_env.sh", file], capture_output=True, text=True, check=True)
    assert file.read_text() == before
    assert "stays as it is" in again.stderr
    assert [left.name for left in tmp_path.iterdir()] == [".env"]


def test_a_secret_that_a_new_version_needs_is_added_and_no_other_one_changes(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    subprocess.run([DEPLOY / "make_env.sh", file], check=True)
    kept = [line for line in file.read_text().splitlines() if not line.startswith("STACK_PRESSROOM_METRICS_TOKEN")]
    file.write_text("\n".join([*kept, "STACK_WORKERS=3"]))
    added = subprocess.run([DEPLOY / "make_env.sh", file], capture_output=True, text=True, check=True)
    assert "had no STACK_PRESSROOM_METRICS_TOKEN: added" in added.stderr
    *before, new = [line for line in file.read_text().splitlines() if line]
    assert before == [line for line in [*kept, "STACK_WORKERS=3"] if line]
    assert re.fullmatch("STACK_PRESSROOM_METRICS_TOKEN=[0-9a-f]{64}", new)
    assert (file.stat().st_mode & 0o777, [left.name for left in tmp_path.iterdir()]) == (0o600, [".env"])


async def test_who_is_signed_in_at_the_hub_stays_so_while_keycloak_is_away(unused_tcp_port: int) -> None:
    class User:
        name = "ana"

        async def get_auth_state(self) -> dict[str, Any]:
            return {"token_response": {"access_token": "x", "token_type": "Bearer"}, "refresh_token": "y"}

    signing_in = module_of("authenticator").KeycloakAuthenticator(
        userdata_url=f"http://127.0.0.1:{unused_tcp_port}/userinfo",
        token_url=f"http://127.0.0.1:{unused_tcp_port}/token",
        enable_auth_state=True,
    )
    assert await signing_in.refresh_user(User()) is True
    with pytest.raises(OSError, match="refused"):
        await GenericOAuthenticator.refresh_user(signing_in, User())


def test_the_images_say_the_version_that_is_in_them() -> None:
    assert re.findall(r"^ARG VERSION=(.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE) == [__version__]


def test_settings_are_those_of_a_number_without_an_account() -> None:
    """As in a container that runs as a number of its cluster's."""
    program = "import os, pwd; from pressroom.settings import Settings; os.setuid(54321); print(Settings().local_user)"
    done = subprocess.run([sys.executable, "-c", program], env={"HOME": "/"}, cwd="/", capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("54321\n", "")
