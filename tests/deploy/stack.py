"""The stack of deploy/docker-compose.yml, as an administrator who has just cloned the repository has it."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "run-with-docker-compose.md"
LISTEN = "127.0.0.9"
"""Where the ports are published: a Pressroom on the usual address of this machine is in nobody's way."""
HUB, API = "http://hub.localhost:8000", f"http://{LISTEN}:8002"
TAG = "tests"
"""Of the images that are built: not the one of a stack that may run here."""
_MIGRATIONS = "src/pressroom/database/migrations/versions"


def run(*command: object, cwd: Path = ROOT, env: dict[str, str] | None = None, given: str | None = None) -> str:
    """What a command prints. Raises ``RuntimeError`` with all that it said where it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=os.environ | (env or {}), input=given, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
    return done.stdout


def example() -> str:
    """What the page has somebody execute in a notebook."""
    [block] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return block


def commands(heading: str = "# Run the whole stack") -> list[str]:
    """What the page tells an administrator to type under a heading, in order, in the clone that they have already."""
    [block] = re.findall(rf"^{heading}.*?```sh\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return [line for line in block.splitlines() if not line.startswith(("git clone", "git pull"))]


@dataclass
class Stack:
    """A copy of the repository, and the containers that were started from it."""

    folder: Path
    project: str
    seconds: dict[str, float] = field(default_factory=dict)
    """How long what was measured took."""
    newest: str = ""
    """The revision that the database is to be migrated to."""
    old: str = ""
    """The one that the version before has made."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            "COMPOSE_PROJECT_NAME": self.project,
            "STACK_REVISION": "tests",
            "STACK_TAG": TAG,
            "STACK_LISTEN": LISTEN,
        }

    def shell(self, line: str) -> str:
        """What a line prints that the page has somebody type, in ``deploy``."""
        line = line.replace("docker compose exec", "docker compose exec -T")
        return run("bash", "-euo", "pipefail", "-c", line, cwd=self.folder / "deploy", env=self.environment)

    def compose(self, *words: object, env: dict[str, str] | None = None, given: str | None = None) -> str:
        return run(
            "docker", "compose", *words, cwd=self.folder / "deploy", env=self.environment | (env or {}), given=given
        )

    def sql(self, statement: str) -> list[list[str]]:
        """The rows of a statement, as text, from Pressroom's database."""
        psql = ["psql", "-U", "postgres", "-d", "notebook_manager", "-AtqX", "-v", "ON_ERROR_STOP=1"]
        told = self.compose("exec", "-T", "postgres", *psql, given=statement)
        return [line.split("|") for line in told.splitlines()]

    def keycloak(self, *words: str) -> str:
        """What Keycloak's command for administrators prints."""
        command = (
            'KC_CLI_PASSWORD="$KC_BOOTSTRAP_ADMIN_PASSWORD" exec /opt/keycloak/bin/kcadm.sh "$@" '
            "--target-realm pressroom --no-config --server http://127.0.0.1:8080 --realm master "
            '--user "$KC_BOOTSTRAP_ADMIN_USERNAME"'
        )
        return self.compose("exec", "-T", "keycloak", "bash", "-c", command, "kcadm", *words)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "--quiet", service).split()

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Keep how long something takes, in seconds."""
        began = time.monotonic()
        yield
        self.seconds[what] = self.seconds.get(what, 0) + time.monotonic() - began


@contextmanager
def cloned(folder: Path, project: str) -> Iterator[Stack]:
    """A stack that is not started yet, in a copy of the tree as it stands here; taken away in the end."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    stack = Stack(folder, project)
    try:
        yield stack
    finally:
        if (folder / "deploy" / ".env").exists():
            logs = stack.compose("logs", "--no-color", "--tail", "300")
            (Path(os.environ.get("PRESSROOM_STACK_LOGS", folder)) / "stack.log").write_text(logs)
            stack.compose("down", "--volumes", "--timeout", "5")


def images_before(stack: Stack, tag: str) -> str:
    """Build the images with the code from before the newest migration; that migration's revision.

    The migrations before it are those of today: no version was released yet, and they have been changed since.
    """
    newest = max(path.stem for path in (ROOT / _MIGRATIONS).glob("[0-9]*.py"))
    if run("git", "rev-parse", "--is-shallow-repository").strip() == "true":
        run("git", "fetch", "--quiet", "--unshallow")  # the code of before is taken from the repository's history
    added = run("git", "log", "--diff-filter=A", "--format=%H", "--", f"{_MIGRATIONS}/{newest}.py").split()[-1]
    context = stack.folder / "before"
    context.mkdir()
    archive = subprocess.run(["git", "archive", f"{added}^", "src"], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", context], input=archive, check=True)
    migrations = Path(_MIGRATIONS).parent
    shutil.copytree(ROOT / migrations, context / migrations, dirs_exist_ok=True)
    (context / _MIGRATIONS / f"{newest}.py").unlink()
    for image, user in (("pressroom-worker", "pressroom"), ("pressroom-hub", "root")):
        (context / "Dockerfile").write_text(
            f"FROM {image}:{TAG}\n"
            "USER root\n"
            "RUN rm -rf /opt/*/lib/python3.11/site-packages/pressroom /opt/*/*/lib/python3.11/site-packages/pressroom\n"
            "COPY src/pressroom /opt/pressroom/lib/python3.11/site-packages/pressroom\n"
            "COPY src/pressroom /opt/kernels/python/lib/python3.11/site-packages/pressroom\n"
            f"USER {user}\n"
        )
        run("docker", "build", "--quiet", "-t", f"{image}:{tag}", context)
    return newest.partition("_")[0]


def stand_ins() -> list[str]:
    """Those images of others that the stack is built on and started beside which are stand-ins here."""
    text = (ROOT / "deploy" / "Dockerfile").read_text() + (ROOT / "deploy" / "docker-compose.yml").read_text()
    images = re.findall(r"^ *(?:ARG BASE=|image: )((?:debian|postgres|quay)\S+)$", text, re.MULTILINE)
    title = '{{index .Config.Labels "org.opencontainers.image.title"}}'
    return [each for each in images if run("docker", "image", "inspect", each, "--format", title).strip() == "stand-in"]
