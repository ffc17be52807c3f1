"""The tutorials and the README are true: their commands are executed, in order, and put out what the page shows.

In ``docs/tutorials``, each block of shell or Python is executed, all blocks of a page in one shell, in a copy of the
examples that lies in the reader's own directory, against ``pressroom serve``. What a block of text shows is what the
block before it puts out, however wide its columns are; ``…`` in it stands for anything.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import URL

from ports import free_port

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted(page for page in (ROOT / "docs" / "tutorials").glob("*.md") if page.stem != "index")
ADDRESS = "http://127.0.0.1:8002"
PATIENCE = 300
_BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
_END = "--- end of block ---"
NOT_EXECUTED = ("make demo", "pressroom worker")
"""How the blocks of the README begin that are not executed: they go on for ever, and other tests start both."""


@pytest.fixture
def shell(database_url: URL, tmp_path: Path) -> dict[str, str]:
    """The environment of a reader's shell. Their directory holds the examples."""
    home = tmp_path / "home" / "ana"
    leave_out = shutil.ignore_patterns("executions", "output", ".*")
    shutil.copytree(ROOT / "examples", home / "examples", ignore=leave_out)
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DATABASE_URL": database_url.set(drivername="postgresql").render_as_string(hide_password=False),
        "PRESSROOM_USERS_ROOT": str(home.parent),
        "PRESSROOM_LOCAL_USER": home.name,
        "PRESSROOM_PORT": (port := str(free_port())),
        "PRESSROOM_URL": f"http://127.0.0.1:{port}",
        "PRESSROOM_WORKERS": "2",
        "PRESSROOM_WEBHOOK_PRIVATE_ADDRESSES": "true",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }


@pytest.fixture
def service(shell: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """``pressroom serve``, and its address."""
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(["pressroom", "serve"], env=shell, cwd=tmp_path, stdout=log, stderr=log)
    with process:
        try:
            transport = httpx.HTTPTransport(retries=10)
            with httpx.Client(transport=transport, timeout=PATIENCE) as client:
                assert client.get(f"{shell['PRESSROOM_URL']}/health").json()["workers"], (tmp_path / "log").read_text()
            yield shell["PRESSROOM_URL"]
        finally:
            process.terminate()


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_commands_of_a_tutorial_put_out_what_it_shows(page: Path, service: str, shell: dict[str, str]) -> None:
    blocks = [(kind, text.replace(ADDRESS, service)) for kind, text in _BLOCK.findall(page.read_text())]
    assert {kind for kind, _ in blocks} <= {"sh", "python", "text"}, "a block that nobody executes"
    script = ["set -euo pipefail"]
    for kind, text in blocks:
        if kind != "text":
            script += [text if kind == "sh" else f"python - <<'PROGRAM'\n{text}PROGRAM", f"echo '{_END}'"]
    home = Path(shell["PRESSROOM_USERS_ROOT"], shell["PRESSROOM_LOCAL_USER"])
    words = ["bash", "-c", "\n".join(script)]
    done = subprocess.run(
        words, env=shell, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout[-5000:]
    said = iter(done.stdout.split(f"{_END}\n"))
    last = ""
    for kind, text in blocks:
        if kind != "text":
            last = next(said)
        else:
            assert re.fullmatch(pattern(text), plain(last), re.DOTALL), f"the page:\n{text}\nit is:\n{last}"


def test_the_commands_of_the_readme_work_and_say_what_it_says(service: str, shell: dict[str, str]) -> None:
    """What it says of an answer stands in a comment: the status, and the sentence in quotation marks. Its lines are for
    after the demo, which registers the sales report."""
    page = (ROOT / "README.md").read_text().replace(ADDRESS, service)
    found = [text for kind, text in _BLOCK.findall(page) if kind == "sh"]
    executed = [text for text in found if not text.startswith(NOT_EXECUTED)]
    assert len(found) - len(executed) == len(NOT_EXECUTED)
    said = [sentence for text in executed for sentence in re.findall(r'^# \d{3}: "(.*)"$', text, re.MULTILINE)]
    assert len(said) == 2
    home = Path(shell["PRESSROOM_USERS_ROOT"], shell["PRESSROOM_LOCAL_USER"])
    demo = "pressroom notebooks add examples/sales_report.ipynb --name Sales --infer"
    words = ["bash", "-c", "\n".join(["set -euo pipefail", demo, *executed])]
    done = subprocess.run(words, env=shell, cwd=home, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert [sentence for sentence in said if sentence not in done.stdout] == [], done.stdout[-3000:]


def plain(text: str) -> str:
    """A text without what depends on how wide it is shown: its blanks, and the lines that only rule a table."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line and not re.fullmatch("[\u2500\u2501 -]+", line))


def pattern(text: str) -> str:
    """The expression of what a block of text shows."""
    return ".*?".join(map(re.escape, plain(text).split("\N{HORIZONTAL ELLIPSIS}")))


def test_there_is_a_first_tutorial_and_one_for_each_of_the_three_uses() -> None:
    names = ["experiment-tracking", "first-report", "pipelines", "template-reports"]
    assert [page.stem for page in TUTORIALS] == names
    readme = (ROOT / "README.md").read_text()
    assert all(f"docs/tutorials/{page.name}" in readme for page in TUTORIALS)
