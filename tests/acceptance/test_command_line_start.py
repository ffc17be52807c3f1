"""The command says what it can before it imports what only its commands need."""

import os
import subprocess
import sys

import pytest
from sqlalchemy import URL

from pressroom.cli.main import COMMANDS

HEAVY = ("sqlalchemy", "alembic", "fastapi", "nbconvert", "nbformat", "papermill", "procrastinate", "pydantic")
ASK = """
import sys
from pressroom.cli.main import app
try:
    app(sys.argv[1:])
finally:
    print(sorted(set({heavy}) & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("words", [["--version"], ["--help"], []])
def test_help_and_version_need_nothing_heavy(words: list[str]) -> None:
    command = [sys.executable, "-c", ASK.format(heavy=HEAVY), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "[]"
    assert ("pressroom 0" if words == ["--version"] else "notifications") in done.stdout + done.stderr


def test_a_command_on_a_database_that_is_up_to_date_needs_nothing_to_migrate_it(database_url: URL) -> None:
    command = [sys.executable, "-c", ASK.format(heavy=("alembic", "fastapi", "nbconvert", "papermill"))]
    environment = os.environ | {"DATABASE_URL": database_url.render_as_string(hide_password=False)}
    done = subprocess.run([*command, "executions", "list"], capture_output=True, text=True, timeout=60, env=environment)
    assert done.stderr.splitlines()[-1] == "[]"
    assert "There are no executions" in done.stdout + done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_the_command_says_of_itself(name: str) -> None:
    own = " ".join(COMMANDS[name].load(name).help.split())
    assert own.startswith(COMMANDS[name].says)


def test_a_name_that_is_no_command_is_told_with_those_like_it() -> None:
    done = subprocess.run([sys.executable, "-m", "pressroom.cli", "runn"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Did you mean 'run'" in done.stderr
