"""The stack, once for all its tests, and a browser."""

import os
from collections.abc import Iterator

import pytest
from people import Person
from playwright.sync_api import Browser, sync_playwright
from stack import Stack, cloned, commands, image_before

OLD_NOTEBOOK = """
INSERT INTO notebooks (name, file_path, username) VALUES ('from before', '/home/ana/before.ipynb', 'ana');
INSERT INTO notebook_executions (notebook_id, username, input_path, output_path, status, completed_at)
VALUES (1, 'ana', '/home/ana/before.ipynb', '/home/ana/executions/before.ipynb', 'success', now());
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, started by the page's own commands, on a database that the version before has made."""
    with cloned(tmp_path_factory.mktemp("clone"), f"pressroom-test-{os.getpid()}") as made:
        secrets, up, _ = commands()
        made.shell(secrets)
        with made.timed("images"):
            made.compose("build", "--quiet")
        before = {"STACK_TAG": "before"}
        made.newest = image_before(made, "before")
        made.compose("up", "--detach", "--wait", "postgres")
        made.compose("run", "--rm", "--no-deps", "-T", "migrate", env=before)
        made.sql(OLD_NOTEBOOK)
        made.old = made.sql("SELECT version_num FROM alembic_version")[0][0]
        with made.timed("start"):
            made.shell(up)
        yield made


def _added(stack: Stack, browser: Browser, name: str) -> Person:
    add = commands()[-1].replace("ana", name)
    password = stack.shell(add).rpartition(": ")[2].strip()
    return Person.at(browser, name, password)


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
