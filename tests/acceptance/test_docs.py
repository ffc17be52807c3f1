"""The documentation is true: its commands are executed, and its reference names every setting and nothing else.

In all pages but the tutorials (``test_tutorials.py`` executes those, and the README), ``<!-- run -->`` before a block
of shell has it executed, all blocks of a page in one shell after each other; ``<!-- start: TEXT -->`` marks one that
goes on, and has started when it says TEXT; ``<!-- run: python -->`` is a program. The service of the pages is a running
one at another address.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pressroom.app import create_app
from pressroom.cli.main import app
from pressroom.identity.rights import Level
from pressroom.rights_table import OPEN, Endpoint, endpoints
from pressroom.settings import Settings

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MADE = {"_build", "api", "commands"}
"""The folders of what is made from the code, or from the pages."""
WRITTEN = sorted(path for path in DOCS.rglob("*.md") if not MADE & set(path.relative_to(DOCS).parts))
REST = [path for path in WRITTEN if path.parent.name != "tutorials" or path.stem == "index"]
PAGES = {path.stem if path.stem != "index" else f"{path.parent.name}/index": path for path in REST}
UNTESTED = {
    "back-up-and-restore": 1,
    "check-an-installation": 1,
    "docs/index": 1,
    "kernels": 1,
    "mlflow": 3,
    "put-behind-a-proxy": 1,
    "run-on-kubernetes": 2,
    "run-under-systemd": 2,
    "run-with-docker-compose": 6,
    "sign-in-with-jupyterhub": 5,
    "sign-in-with-keycloak": 3,
    "watch": 2,
}
"""Pages with blocks of shell that need programs which are not ours, and how many: Keycloak under a name of the
reader's (``test_oidc.py`` does the same with a real one), a Hub (``test_jupyterhub.py`` starts one with the page's own
configuration), MLflow (``test_tracking.py`` does), systemd and Kubernetes (``test_deploy.py`` checks their files),
Docker (``tests/deploy`` types the page's commands), jq, a collector, another environment's Python; one whose files are
the reader's; and ``make test``, which is what executes this."""
URL = "http://127.0.0.1:8002"
_BLOCK = re.compile(r"(?:<!-- (run|start)(?:: (.+?))? -->\n)?```(sh|python)\n(.*?)```", re.DOTALL)
_FENCE = re.compile(r"^ *```+(.*)$", re.MULTILINE)
OTHER = {"", "{eval-rst}", "{toctree}", "caddyfile", "dockerfile", "ini", "js", "json", "nginx", "text", "toml", "yaml"}
"""What blocks may be that are neither shell nor Python."""


def blocks(page: str) -> list[tuple[str, str, str, str]]:
    """What is to be done with each block of a page (nothing, run, start), with what, its language and its text."""
    return _BLOCK.findall(PAGES[page].read_text())


EXECUTED = [page for page in PAGES if any(what for what, *_ in blocks(page))]


@pytest.fixture
def shell(service: Any, settings: Settings) -> dict[str, str]:
    """The environment of a reader's shell: the programs of this product, and the running service."""
    assert settings.database_url is not None
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "PRESSROOM_URL": service.url,
        "PRESSROOM_PORT": "0",
        "PRESSROOM_USERS_ROOT": str(settings.users_root),
        "PRESSROOM_LOCAL_USER": "ana",
        "PRESSROOM_SMTP_URL": "smtp://127.0.0.1:9",
        "PRESSROOM_MAIL_FROM": "reports@example.com",
        "NO_COLOR": "1",
    }


@contextmanager
def started(command: str, said: str, shell: dict[str, str], folder: Path) -> Iterator[None]:
    """A command that goes on, until the end of the page."""
    with subprocess.Popen(
        ["bash", "-c", f"exec env {command}"], env=shell, cwd=folder, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            lines: list[str] = []
            while said not in (line := process.stderr.readline()):
                assert line, f"{command} ended: {''.join(lines)}"
                lines.append(line)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            assert process.wait(60) in (0, -signal.SIGTERM), command


@pytest.mark.parametrize("page", EXECUTED)
def test_the_commands_of_a_page_do_what_it_says(page: str, service: Any, shell: dict[str, str], notebook: Path) -> None:
    write_notebook(notebook.with_name("training.ipynb"), "import time; time.sleep(600)")
    script = ["set -euo pipefail"]
    with ExitStack() as running:
        for what, said, language, text in blocks(page):
            if what == "start":
                running.enter_context(started(text, said, shell, notebook.parent))
            elif what == "run":
                body = text if language == "sh" else f"{sys.executable} - <<'PROGRAM'\n{text}PROGRAM\n"
                script.append(body.replace(URL, service.url))
        words = ["bash", "-c", "\n".join(script)]
        done = subprocess.run(words, env=shell, cwd=notebook.parent, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_block_of_a_page_is_executed_or_known_not_to_be() -> None:
    assert {page: n for page in PAGES if (n := sum(not what for what, *_ in blocks(page)))} == UNTESTED


def test_no_block_escapes_by_another_name_of_its_language() -> None:
    """Shell is ``sh`` and Python ``python`` everywhere, or nobody executes it."""
    written = [*WRITTEN, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    assert len(PAGES) == len(REST), "two pages of one name"
    assert {
        (path.name, kind)
        for path in written
        for kind in _FENCE.findall(path.read_text())
        if kind not in OTHER | {"sh", "python"}
    } == set()


def test_every_setting_is_in_the_reference_as_it_is_and_nothing_else() -> None:
    """``PRESSROOM_UPDATE_SNAPSHOT=1`` writes the table anew; the difference is seen in review."""
    path = DOCS / "reference" / "settings.md"
    head, _, _ = path.read_text().partition("| variable |")
    rows = ["| variable | default | what it is |", "| --- | --- | --- |", *map(row, Settings.model_fields)]
    text = head + "\n".join(rows) + "\n"
    if os.environ.get("PRESSROOM_UPDATE_SNAPSHOT"):
        path.write_text(text)
    assert path.read_text() == text


def row(name: str) -> str:
    """The row of a setting: its variable, its default, and what it is."""
    field = Settings.model_fields[name]
    variable = "DATABASE_URL" if name == "database_url" else f"PRESSROOM_{name.upper()}"
    given = None if field.default_factory is not None else field.default
    default = "" if given in (None, "") else f"`{str(given).lower() if isinstance(given, bool) else given}`"
    return f"| `{variable}` | {default} | {field.description} |"


def test_the_reference_of_rights_is_what_the_endpoints_say() -> None:
    """``PRESSROOM_UPDATE_SNAPSHOT=1`` writes the table anew; the difference is seen in review."""
    path = DOCS / "reference" / "rights.md"
    head, _, _ = path.read_text().partition("| endpoint |")
    found = sorted(endpoints(create_app(Settings())), key=lambda each: (each.path, each.method))
    rows = ["| endpoint | scope | and |", "| --- | --- | --- |", *map(right_row, found)]
    text = head + "\n".join(rows) + "\n"
    if os.environ.get("PRESSROOM_UPDATE_SNAPSHOT"):
        path.write_text(text)
    assert path.read_text() == text


def right_row(endpoint: Endpoint) -> str:
    """The row of an endpoint: what it is, the scope that it needs, and what else."""
    scope, also = "none", OPEN.get(endpoint.path, "")
    if endpoint.right is not None:
        scope, of = f"`{endpoint.right.scope}`", endpoint.right.of
        also = f"{of}" if isinstance(of, Level) else ("acting for the user" if of else "")
    return f"| `{endpoint.method} {endpoint.path}` | {scope} | {also} |"


def test_the_readme_names_only_settings_that_there_are() -> None:
    text = (ROOT / "README.md").read_text()
    known = {f"PRESSROOM_{name.upper()}" for name in Settings.model_fields} | {"PRESSROOM_URL"}
    assert set(re.findall(r"PRESSROOM_[A-Z_]+[A-Z]", text)) <= known


def test_the_readme_names_only_commands_that_there_are() -> None:
    commands = set(re.findall(r"`pressroom ([a-z ]+[a-z])", (ROOT / "README.md").read_text()))
    assert {command for command in commands if CliRunner().invoke(app, [*command.split(), "--help"]).exit_code} == set()


def test_every_picture_of_a_page_stands_in_the_docs_and_is_one_that_the_tests_take() -> None:
    shown = set(
        re.findall(r"\(\.\./pictures/pages/([\w-]+)\.png\)", (DOCS / "how-to" / "use-the-pages.md").read_text())
    )
    assert shown == {path.stem for path in (DOCS / "pictures" / "pages").glob("*.png")}
    looked_at = "".join(path.read_text() for path in Path(__file__).parent.glob("test_pages*.py"))
    assert [name for name in shown if f'"{re.sub("-(laptop|phone)-.*", "", name)}"' not in looked_at] == []
