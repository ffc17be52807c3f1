"""A real JupyterHub: its proxy is fetched once, by npm; its users sign in at a real Keycloak and are accounts here.

``python tests/hub.py`` fetches the proxy. The configuration is the one of the how-to page, with other addresses.
"""

import fcntl
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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from platformdirs import user_cache_path
from websockets.sync.client import connect

from keycloak import Realm
from ports import free_port

PROXY_VERSION = "5.3.0"
OLDEST_NODE = 20
PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "sign-in-with-jupyterhub.md"
PYTHON = Path(sys.executable).parent
OUTSIDE = "pressroom-outside"
"""The service that the Hub does not start."""
_LISTENING = "JupyterHub is now running"
_CONFIGURATION = """
import json, os
c = get_config()
facts = json.load(open({facts!r}))
exec(facts["page"])
pressroom["url"] = facts["service"]
pressroom["command"] = facts["command"]
pressroom["environment"] = facts["environment"]
pressroom["timeout"] = 300  # the machine may do much else
for more in facts["outside"]:
    outside = {{name: value for name, value in pressroom.items() if name != "command"}} | more
    c.JupyterHub.services.append(outside)
    for role in pressroom_roles:
        if "access:services!service=pressroom" in role["scopes"]:
            role["scopes"].append("access:services!service=" + outside["name"])
c.JupyterHub.services.append({{"name": "tester", "api_token": facts["token"]}})
c.JupyterHub.services.append({{"name": "reports", "api_token": facts["reports"]}})
c.JupyterHub.load_roles.append({{
    "name": "tester", "services": ["tester"], "scopes": ["admin:users", "admin:servers", "tokens", "access:servers"],
}})
c.JupyterHub.load_roles.append({{
    "name": "reports",
    "services": ["reports"],
    "scopes": ["access:services!service=pressroom", "custom:pressroom:execute", "custom:pressroom:act"],
}})
c.JupyterHub.bind_url = facts["url"]
c.JupyterHub.public_url = facts["url"]
c.JupyterHub.hub_bind_url = facts["hub"]
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.ConfigurableHTTPProxy.api_url = facts["proxy_api"]
c.ConfigurableHTTPProxy.command = facts["proxy"]
c.LocalProcessSpawner.cmd = facts["spawn"]
c.Spawner.args = ["--ServerApp.disable_check_xsrf=True"]
c.Spawner.start_timeout = c.Spawner.http_timeout = 300
c.JupyterHub.authenticator_class = "generic-oauth"
for name, value in facts["sign_in"].items():
    setattr(c.GenericOAuthenticator, name, value)
"""


def fetch() -> list[str]:
    """The command of the Hub's proxy. Raises ``RuntimeError`` where this machine has no Node that is new enough."""
    node = shutil.which("node")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout if node else "none"
    if node is None or int(said.removeprefix("v").split(".")[0]) < OLDEST_NODE or shutil.which("npm") is None:
        raise RuntimeError(f"JupyterHub's proxy needs npm and Node {OLDEST_NODE} or newer; here is {said.strip()}.")
    cache = user_cache_path("pressroom-tests") / "jupyterhub"
    cache.mkdir(parents=True, exist_ok=True)
    ready = cache / PROXY_VERSION
    with (cache / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                package = f"configurable-http-proxy@{PROXY_VERSION}"
                made = Path(folder, "proxy")
                install = [
                    "npm",
                    "install",
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                    "--silent",
                    "--prefix",
                    made,
                ]
                subprocess.run([*install, package], cwd=folder, check=True)
                made.rename(ready)
    # Node itself: a wrapper would outlive the Hub.
    return [os.path.realpath(node), str(ready / "node_modules/configurable-http-proxy/bin/configurable-http-proxy")]


@dataclass
class Hub:
    """A JupyterHub in a folder of its own."""

    folder: Path
    realm: Realm
    environment: dict[str, str]
    url: str = ""
    api: str = ""
    service: str = ""
    outside: str = ""
    outside_at: str = ""
    """``outside`` past the Hub's proxy."""
    token: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    reports: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    outside_token: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    _process: subprocess.Popen[str] | None = None
    _listener: threading.Thread | None = None

    def configure(self, *, outside: bool = True) -> None:
        """Write the configuration, and let Keycloak send people back here. ``outside``: there is the other service, for
        which the Hub waits when it starts."""
        public, inner, proxy, service, self.outside_at = (f"http://127.0.0.1:{free_port()}" for _ in range(5))
        self.url, self.api, self.service = public, f"{inner}/hub/api", f"{public}/services/pressroom"
        self.outside = f"{public}/services/{OUTSIDE}"
        callback = f"{public}/hub/oauth_callback"
        self.realm.change_client("jupyterhub", redirectUris=[callback])
        page = "".join(re.findall(r"```python\n(# jupyterhub_config\.py\n.*?)```", PAGE.read_text(), re.DOTALL))
        facts = {
            "page": page,
            "service": service,
            "command": [str(PYTHON / "pressroom"), "serve"],
            "environment": {"PATH": os.environ["PATH"]} | self.environment,
            "outside": [{"name": OUTSIDE, "url": self.outside_at, "api_token": self.outside_token}] if outside else [],
            "token": self.token,
            "reports": self.reports,
            "url": public,
            "hub": inner,
            "proxy_api": proxy,
            "proxy": fetch(),
            "spawn": [str(PYTHON / "jupyterhub-singleuser")],
            "sign_in": {
                "client_id": "jupyterhub",
                "client_secret": self.realm.secrets["JUPYTERHUB_OIDC_CLIENT_SECRET"],
                "authorize_url": f"{self.realm.endpoint}/auth",
                "token_url": f"{self.realm.endpoint}/token",
                "userdata_url": f"{self.realm.endpoint}/userinfo",
                "oauth_callback_url": callback,
                "scope": ["openid"],
                "allow_all": True,
                "admin_users": ["root-of-the-hub"],
            },
        }
        (self.folder / "facts.json").write_text(json.dumps(facts))
        (self.folder / "facts.json").chmod(0o600)
        configuration = _CONFIGURATION.format(facts=str(self.folder / "facts.json"))
        (self.folder / "jupyterhub_config.py").write_text(configuration)

    def start(self) -> None:
        """Start it. Raises ``RuntimeError`` with its log where it does not."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTERHUB_", "PRESSROOM_"))}
        environment["DATABASE_URL"] = self.environment["DATABASE_URL"]
        self._process = process = subprocess.Popen(
            [PYTHON / "jupyterhub", "-f", "jupyterhub_config.py"],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        said: list[str] = []
        known: queue.SimpleQueue[bool] = queue.SimpleQueue()

        def listen() -> None:
            assert process.stdout is not None
            with process.stdout, (self.folder / "hub.log").open("a") as log:
                for line in process.stdout:
                    said.append(line)
                    log.write(line)
                    log.flush()
                    if _LISTENING in line:
                        known.put(True)
            known.put(False)

        self._listener = threading.Thread(target=listen)
        self._listener.start()
        try:
            up = known.get(timeout=300)
        except queue.Empty:
            up = False
        if not up:
            self.stop()
            raise RuntimeError(f"JupyterHub did not start:\n{''.join(said)[-8000:]}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, its proxy and what it started, and wait until they have ended.

        Where it is killed, so is what it started, as by systemd, or when a container ends.
        """
        if self._process is None:
            return
        started = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(how)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for process in psutil.wait_procs(started, timeout=0 if how == signal.SIGKILL else 30)[1]:
            with suppress(psutil.NoSuchProcess):  # it ended with another
                process.kill()
        psutil.wait_procs(started, timeout=30)
        self._process = None
        if self._listener is not None:
            self._listener.join()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the Hub's API by a service that may administer users; the body of its answer."""
        headers = {"Authorization": f"token {self.token}"}
        answer = httpx.request(method, self.api + path, json=body, headers=headers, timeout=60)
        if answer.is_error:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def user_token(self, username: str, *scopes: str) -> str:
        """A new token of a user's, with these scopes."""
        return self.ask("POST", f"/users/{username}/tokens", {"scopes": list(scopes)})["token"]

    @contextmanager
    def sign_in(self, username: str) -> Iterator[httpx.Client]:
        """A browser, as far as forms and cookies go, in which a user has signed in at Keycloak."""
        with httpx.Client(base_url=self.url, follow_redirects=True, timeout=60) as browser:

            def keep(_: httpx.Response) -> None:
                """A browser sends secure cookies to a loopback address without TLS as well."""
                for cookie in browser.cookies.jar:
                    cookie.secure = False

            browser.event_hooks = {"response": [keep]}
            form = browser.get("/hub/oauth_login", params={"next": "/hub/home"})
            [action] = re.findall(r'action="([^"]+)"', form.text)
            given = {"username": username, "password": f"password of {username}"}
            home = browser.post(unescape(action), data=given)
            if home.url.path != "/hub/home" or home.status_code != 200:
                raise RuntimeError(f"{username} is not signed in: {home.status_code} {home.url} {home.text[-2000:]}")
            yield browser

    def spawn(self, username: str) -> None:
        """Start a user's notebook server, and wait until it is there."""
        self.ask("POST", f"/users/{username}/server")
        headers = {"Authorization": f"token {self.token}"}
        address = f"{self.api}/users/{username}/server/progress"
        with httpx.stream("GET", address, headers=headers, timeout=300) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:") and (news := json.loads(line.removeprefix("data:"))):
                    if news.get("failed"):
                        raise RuntimeError(f"the server of {username} did not start: {news}")
                    if news.get("ready"):
                        return
        raise RuntimeError(f"the server of {username} did not say that it is ready")

    def run(self, username: str, code: str) -> str:
        """What code prints in a new kernel of a user's notebook server. Raises ``RuntimeError`` where it raises."""
        headers = {"Authorization": f"token {self.token}"}
        server = f"{self.url}/user/{username}/api/kernels"
        made = httpx.post(server, json={"name": "python3"}, headers=headers, timeout=300)
        made.raise_for_status()
        address = f"ws://{urlsplit(server).netloc}/user/{username}/api/kernels/{made.json()['id']}/channels"
        request = {"msg_id": secrets.token_hex(8), "msg_type": "execute_request", "username": "", "session": "tests"}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "stop_on_error": True}
        message = {"header": request, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        printed: list[str] = []
        with connect(address, additional_headers=headers, open_timeout=300) as kernel:
            kernel.send(json.dumps(message))
            while True:
                told = json.loads(kernel.recv(timeout=300))
                if told["parent_header"].get("msg_id") != request["msg_id"]:
                    continue
                if told["msg_type"] == "stream":
                    printed.append(told["content"]["text"])
                elif told["msg_type"] == "error":
                    raise RuntimeError("\n".join(told["content"]["traceback"]))
                elif told["msg_type"] == "status" and told["content"]["execution_state"] == "idle":
                    return "".join(printed)


if __name__ == "__main__":
    fetch()
