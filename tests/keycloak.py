"""A real Keycloak: fetched once, by Maven, pinned by hash; started once a run, and ended when its last user has gone.

``python tests/keycloak.py`` fetches and builds it. The server of a run has a process of its own to watch over it, which
waits for a lock that every user of the server shares: it gets it when they are gone, however they ended.
"""

import fcntl
import hashlib
import json
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from platformdirs import user_cache_path

from ports import free_port

VERSION = "26.7.3"
SHA256 = "27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f"
REALM_FILE = Path(__file__).parents[1] / "deploy" / "keycloak" / "pressroom-realm.json"
PLACEHOLDERS = ("JUPYTERHUB_OIDC_CLIENT_SECRET", "PRESSROOM_MACHINE_CLIENT_SECRET")
_PLACEHOLDER = re.compile(r"\$\{(\w+):?([^}]*)\}")
_LISTENING = "Listening on: "
_JAVA = {"JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx384m", "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1"}


def _cache() -> Path:
    cache = user_cache_path("pressroom-tests") / "keycloak"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    """A lock on a file that may be deleted by whoever had it before."""
    while True:
        with path.open("w") as file:
            fcntl.flock(file, kind)
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                yield
                return


def fetch() -> Path:
    """The folder of a built Keycloak. Raises ``CalledProcessError`` where it cannot be fetched or built."""
    ready = _cache() / f"{VERSION}-{SHA256[:12]}"
    with _locked(_cache() / "fetch.lock", fcntl.LOCK_EX):
        if not ready.exists():
            with tempfile.TemporaryDirectory(dir=_cache()) as folder:
                artifact = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
                copy = ["mvn", "-B", "-q", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
                subprocess.run(copy, check=True)
                _unpack(Path(folder, f"keycloak-quarkus-dist-{VERSION}.zip"), Path(folder))
                home = Path(folder, f"keycloak-{VERSION}")
                subprocess.run([home / "bin" / "kc.sh", "build", "--db=dev-mem"], check=True, env=os.environ | _JAVA)
                home.rename(ready)
    return ready


def _unpack(archive: Path, folder: Path) -> None:
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise RuntimeError(f"{archive.name} is not the one that is expected: its SHA-256 is {found}")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    for script in folder.glob("*/bin/*.sh"):
        script.chmod(0o755)


class Process:
    """A Keycloak with its data in memory, in a folder of its own; it has imported the realm that we ship.

    ``port``: where it listens; 0, wherever there is room.
    """

    def __init__(self, folder: Path, environment: dict[str, str], port: int = 0) -> None:
        self.folder, self.environment, self.port = folder, environment, port
        self.home = folder / "home"
        if not self.home.exists():
            shutil.copytree(fetch(), self.home, copy_function=os.link)
            (self.home / "data" / "import").mkdir(parents=True)
            shutil.copy(REALM_FILE, self.home / "data" / "import")
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self.url = ""

    def start(self) -> str:
        """Start it; the address that it listens on. Raises ``RuntimeError`` with its log where it does not."""
        command = [self.home / "bin" / "kc.sh", "start", "--optimized", "--import-realm", "--cache=local"]
        command += ["--hostname-strict=false", "--http-enabled=true"]
        command += ["--http-host=127.0.0.1", f"--http-port={self.port}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KC_")}
        self._process = process = subprocess.Popen(
            command,
            env=environment | _JAVA | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        said: list[str] = []
        known: queue.SimpleQueue[str | None] = queue.SimpleQueue()

        def listen() -> None:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    said.append(line)
                    if _LISTENING in line:
                        known.put(line)
            known.put(None)

        self._listener = threading.Thread(target=listen)
        self._listener.start()
        try:
            line = known.get(timeout=300)
        except queue.Empty:
            line = None
        if line is None:
            self.stop()
            raise RuntimeError(f"Keycloak did not start:\n{''.join(said)[-5000:]}")
        self.url = line.split(_LISTENING)[1].split()[0].rstrip(".")
        return self.url

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it has ended."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, how)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None
        if self._listener is not None:
            self._listener.join()


@dataclass
class Realm:
    """A realm of a running Keycloak, and what an administrator of it does."""

    url: str
    name: str
    admin_password: str = field(repr=False)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def issuer(self) -> str:
        return f"{self.url}/realms/{self.name}"

    @property
    def endpoint(self) -> str:
        return f"{self.issuer}/protocol/openid-connect"

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the administration API, below this realm's part of it; the body of its answer."""
        return self._admin(method, f"/{self.name}{path}", body)

    def _admin(self, method: str, path: str, body: Any = None) -> Any:
        given = {
            "grant_type": "password",
            "client_id": "admin-cli",
            "username": "boot",
            "password": self.admin_password,
        }
        token = httpx.post(f"{self.url}/realms/master/protocol/openid-connect/token", data=given, timeout=60)
        token.raise_for_status()
        headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
        address = f"{self.url}/admin/realms{path}"
        answer = httpx.request(method, address, json=body, headers=headers, timeout=60)
        if answer.is_error:
            raise RuntimeError(f"{method} {address}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def copy(self, **changes: Any) -> "Realm":
        """A realm of the test's own, from the file that we ship."""
        name = f"test-{secrets.token_hex(6)}"
        text = _PLACEHOLDER.sub(lambda found: self.secrets.get(found[1]) or found[2] or "", REALM_FILE.read_text())
        self._admin("POST", "", json.loads(text) | {"realm": name} | changes)
        return Realm(self.url, name, self.admin_password, self.secrets)

    def delete(self) -> None:
        self.admin("DELETE", "")

    def client(self, client_id: str) -> dict[str, Any]:
        """A client, as Keycloak has it."""
        [found] = self.admin("GET", f"/clients?clientId={client_id}")
        return found

    def change_client(self, client_id: str, **changes: Any) -> None:
        client = self.client(client_id)
        self.admin("PUT", f"/clients/{client['id']}", client | changes)

    def add_user(self, username: str, *, roles: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> None:
        """A user whose password is ``password of`` and the name."""
        user = {
            "username": username,
            "enabled": True,
            "email": f"{username}@example.com",
            "emailVerified": True,
            "firstName": username,
            "lastName": "Test",
            "groups": [f"/{group}" for group in groups],
            "credentials": [{"type": "password", "value": f"password of {username}", "temporary": False}],
        }
        self.admin("POST", "/users", user)
        [found] = self.admin("GET", f"/users?exact=true&username={username}")
        given = [self.admin("GET", f"/roles/{role}") for role in roles]
        self.admin("POST", f"/users/{found['id']}/role-mappings/realm", given)

    def add_password_client(self) -> None:
        """A client ``tests`` that gives tokens for a password, as the one for browsers does for a sign-in."""
        like = {"publicClient": True, "directAccessGrantsEnabled": True, "standardFlowEnabled": False}
        mappers = [
            {k: v for k, v in mapper.items() if k != "id"} for mapper in self.client("pressroom")["protocolMappers"]
        ]
        self.admin("POST", "/clients", {"clientId": "tests", "protocolMappers": mappers, **like})

    def tokens(self, **given: str) -> dict[str, Any]:
        """What the token endpoint answers."""
        answer = httpx.post(f"{self.endpoint}/token", data=given, timeout=60)
        if answer.is_error:
            raise RuntimeError(f"{answer.status_code} {answer.text}")
        return answer.json()

    def user_tokens(self, username: str) -> dict[str, Any]:
        """The tokens of a user, by ``add_password_client``'s client."""
        password = f"password of {username}"
        return self.tokens(
            grant_type="password", client_id="tests", username=username, password=password, scope="openid"
        )

    def token(self, username: str) -> str:
        """The access token of a user."""
        return self.user_tokens(username)["access_token"]

    def machine_token(self) -> str:
        """The access token of a program's own."""
        secret = self.secrets["PRESSROOM_MACHINE_CLIENT_SECRET"]
        client = {"client_id": "pressroom-machine", "client_secret": secret}
        return self.tokens(grant_type="client_credentials", **client)["access_token"]

    def rotate_keys(self) -> None:
        """Give the realm a new key to sign with, and take the old ones away."""
        provider = "org.keycloak.keys.KeyProvider"
        old = [c for c in self.admin("GET", f"/components?type={provider}") if c["providerId"] == "rsa-generated"]
        realm = self.admin("GET", "")
        config = {"priority": ["200"], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"]}
        new = {"name": secrets.token_hex(4), "providerId": "rsa-generated", "providerType": provider}
        self.admin("POST", "/components", new | {"parentId": realm["id"], "config": config})
        for component in old:
            self.admin("DELETE", f"/components/{component['id']}")


def new_environment() -> dict[str, str]:
    """Passwords and secrets for a Keycloak that is about to start."""
    drawn = {variable: secrets.token_urlsafe(24) for variable in PLACEHOLDERS}
    return {"KC_BOOTSTRAP_ADMIN_USERNAME": "boot", "KC_BOOTSTRAP_ADMIN_PASSWORD": secrets.token_urlsafe(24)} | drawn


def shipped_realm(url: str, environment: dict[str, str]) -> Realm:
    """The realm that a Keycloak imported when it started."""
    drawn = {variable: environment[variable] for variable in PLACEHOLDERS}
    return Realm(url, "pressroom", environment["KC_BOOTSTRAP_ADMIN_PASSWORD"], drawn)


@contextmanager
def own_server() -> Iterator[tuple[Process, Realm]]:
    """A Keycloak that a test may stop and start again, and its realm: it comes back as it was, from a file."""
    environment = new_environment()
    with tempfile.TemporaryDirectory(dir=_cache()) as folder:
        # What is committed is written at once, since the test may kill it.
        kept = {"KC_DB_URL": f"jdbc:h2:file:{folder}/data/db;NON_KEYWORDS=VALUE;WRITE_DELAY=0"}
        process = Process(Path(folder), environment | kept, free_port())
        try:
            yield process, shipped_realm(process.start(), environment)
        finally:
            process.stop()


@contextmanager
def shared_server(run: str) -> Iterator[Realm]:
    """The realm of the one Keycloak of a run, which the first who asks for it has started."""
    folder = _cache() / f"run-{run}"
    with _locked(_cache() / f"run-{run}.users", fcntl.LOCK_SH):
        with _locked(_cache() / f"run-{run}.start", fcntl.LOCK_EX):
            if not (folder / "facts.json").exists():
                _start_watched(run)
        facts = json.loads((folder / "facts.json").read_text())
        yield shipped_realm(facts["url"], facts["environment"])


def _start_watched(run: str) -> None:
    command = [sys.executable, __file__, "watch", run]
    watcher = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert watcher.stdout is not None
    with watcher.stdout as said:
        first = said.readline()
        if first != "ready\n":
            raise RuntimeError(first + said.read())
    # Nobody waits for the watcher: it ends after this process.
    watcher.returncode = 0


def watch(run: str) -> None:
    """Start the Keycloak of a run, and end it when nobody uses it any more."""
    folder = _cache() / f"run-{run}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    environment = new_environment()
    process = Process(folder, environment)
    try:
        facts = {"url": process.start(), "environment": environment}
        (folder / "facts.json").write_text(json.dumps(facts))
        print("ready", flush=True)
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        users = _cache() / f"run-{run}.users"
        with _locked(users, fcntl.LOCK_EX):
            (folder / "facts.json").unlink()
            process.stop()
            for lock in (users, users.with_suffix(".start")):
                lock.unlink(missing_ok=True)
    finally:
        process.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["watch"]:
        watch(sys.argv[2])
    else:
        fetch()
