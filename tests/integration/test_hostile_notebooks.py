"""A hostile notebook on a real account, beside a victim's: what it tries, and that it gets nothing.

Each attempt is made a second time as root, who may do all of it: it would be seen to succeed.
"""

import json
import subprocess
import sys

import pytest

from accounts import IS_ROOT, WHY
from besieged import Siege
from hostile import ATTEMPTS, Attempt, source_of

pytestmark = pytest.mark.skipif(not IS_ROOT, reason=WHY)


def test_there_are_enough_attempts() -> None:
    assert len(ATTEMPTS) >= 25


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
def test_a_hostile_notebook_gets_nothing(siege: Siege, attempt: Attempt) -> None:
    source = source_of(attempt)
    path = siege.plant(f"{attempt.__name__}.ipynb", source, parameters="target = {}")
    row = siege.execute(path, parameters={"target": siege.target})
    assert row["status"] == "success", row["error_message"]
    assert json.loads(siege.printed(row).splitlines()[-1]) == {"got": None}
    program = f"target = {siege.target!r}\n{source}"
    control = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd="/")
    assert control.returncode == 0, control.stderr
    assert json.loads(control.stdout.splitlines()[-1])["got"] is not None, "it could not be seen to succeed"
