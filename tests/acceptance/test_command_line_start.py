"""The command says what it can before it imports what only its commands need."""

import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_the_command_says_of_itself(name: str) -> None:
    own = " ".join(COMMANDS[name].load(name).help.split())
    assert own.startswith(COMMANDS[name].says)


def test_a_name_that_is_no_command_is_told_with_those_like_it() -> None:
    done = subprocess.run([sys.executable, "-m", "pressroom.cli", "runn"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Did you mean 'run'" in done.stderr
