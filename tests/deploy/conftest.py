"""The stack, once for all its tests, and a browser."""

import os
from collections.abc import Iterator

import pytest
from people import Person
from playwright.sync_api import Browser, sync_playwright
from stack import LISTEN, Stack, cloned, commands, images_before


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        there = f"--host-resolver-rules=MAP *.localhost {LISTEN}"
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", there])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack of the version before, started by the page's own commands."""
    with cloned(tmp_path_factory.mktemp("clone"), f"pressroom-test-{os.getpid()}") as made:
        secrets, up, _ = commands()
        made.shell(secrets)
        with made.timed("images"):
            made.compose("build", "--quiet")
        made.newest = images_before(made, "before")
        with made.timed("start"):
            made.shell(f"export STACK_TAG=before; {up.replace('--build', '--no-build')}")
        made.old = made.sql("SELECT version_num FROM alembic_version")[0][0]
        yield made


def _added(stack: Stack, browser: Browser, name: str) -> Person:
    add = commands()[-1].replace("add_user.sh ana", f"add_user.sh {name}")
    password = stack.shell(add).rpartition(": ")[2].strip()
    return Person.at(browser, name.split(maxsplit=1)[0], password)


@pytest.fixture(scope="session")
def ana(stack: Stack, browser: Browser) -> Person:
    """Somebody who signs in for the first time."""
    with stack.timed("a user"):
        made = _added(stack, browser, "ana")
    with stack.timed("sign-in"):
        made.sign_in()
    return made


@pytest.fixture(scope="session")
def ben(stack: Stack, browser: Browser) -> Person:
    """Another one."""
    made = _added(stack, browser, "ben")
    made.sign_in()
    return made


@pytest.fixture(scope="session")
def chief(stack: Stack, browser: Browser) -> Person:
    """An administrator of Pressroom."""
    made = _added(stack, browser, "chief pressroom-admins")
    made.sign_in()
    return made
