"""The lines of a ``jupyterhub_config.py`` that put Pressroom beside a Hub."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from typing import get_args

from pydantic import SecretStr

from pressroom.settings import JUPYTERHUB, Settings

TOKEN = "PRESSROOM_JUPYTERHUB_API_TOKEN"  # noqa: S105 - the name of a variable
PUBLIC_URL = "https://hub.example.com"
_TOLD_BY_THE_HUB = ("host", "port", "root_path", "public_url")
_BY_ANOTHER_NAME = ("DATABASE_URL", "MLFLOW_TRACKING_URI")
"""Variables of settings that do not begin with ours."""
_SCOPES = {
    "execute": "Execute notebooks in Pressroom.",
    "write": "Register and change notebooks in Pressroom.",
    "act": "Act for other users in Pressroom.",
    "admin": "Administer Pressroom.",
}


@dataclass(frozen=True, slots=True)
class HubLines:
    """A service of a Hub. ``environment``: its variables, each with the Python that says its value."""

    name: str
    url: str
    public_url: str = ""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def managed(self) -> str:
        """The lines of a Pressroom that the Hub starts."""
        environment = "".join(f'        "{name}": {value},\n' for name, value in self.environment.items())
        started = f'    "command": [{_quoted(_executable())}, "serve"],\n'
        started += f'    "environment": {{\n{environment}    }},\n'
        # An empty token has the Hub make one at each start.
        return self._lines(f'{started}    "api_token": os.environ.get("{TOKEN}", ""),\n')

    def external(self) -> str:
        """The lines of a Pressroom that the Hub does not start, and, as comments, what that is told."""
        prefix, public = f"/services/{self.name}/", self.public_url or PUBLIC_URL
        told = {
            "PRESSROOM_AUTH": JUPYTERHUB,
            "PRESSROOM_JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
            "PRESSROOM_JUPYTERHUB_SERVICE_NAME": self.name,
            "PRESSROOM_JUPYTERHUB_SERVICE_PREFIX": prefix,
            "PRESSROOM_JUPYTERHUB_PUBLIC_URL": f"{public}{prefix}",
            TOKEN: "the same as the Hub's; openssl rand -hex 32 makes one",
        }
        if self.name == "pressroom":
            del told["PRESSROOM_JUPYTERHUB_SERVICE_NAME"]
        comments = "".join(f"# {name}={value}\n" for name, value in told.items())
        return self._lines(f'    "api_token": os.environ["{TOKEN}"],\n') + (
            f"\n# Pressroom's own environment, where it is started:\n{comments.rstrip()}"
        )

    def _lines(self, how: str) -> str:
        scopes = "".join(
            f'        "custom:pressroom:{name}": {{"description": "{says}"}},\n' for name, says in _SCOPES.items()
        )
        access = _quoted(f"access:services!service={self.name}")
        # Not known, it is an example, and no address that the Hub would take for its own.
        public = f"{'' if self.public_url else '# '}c.JupyterHub.public_url = {_quoted(self.public_url or PUBLIC_URL)}"
        return f"""# jupyterhub_config.py
import os

pressroom = {{
    "name": {_quoted(self.name)},
    "url": {_quoted(self.url)},
{how}    "oauth_no_confirm": True,
    "oauth_client_allowed_scopes": ["custom:pressroom:execute", "custom:pressroom:write", "custom:pressroom:admin"],
}}
c.JupyterHub.services.append(pressroom)
c.JupyterHub.custom_scopes.update(
    {{
{scopes}    }}
)
to_use_pressroom = [{access}, "custom:pressroom:execute", "custom:pressroom:write"]
pressroom_roles = [
    {{"name": "user", "scopes": ["self", *to_use_pressroom]}},
    {{"name": "server", "scopes": ["users:activity!user", "access:servers!server", *to_use_pressroom]}},
    {{"name": "pressroom-admins", "groups": ["pressroom-admins"], "scopes": ["custom:pressroom:admin"]}},
]
c.JupyterHub.load_roles.extend(pressroom_roles)
{public}"""


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that a Pressroom of these settings needs from the Hub, which hands on none of its own: what was set
    in this environment, secrets as a look into the Hub's."""
    found: dict[str, str] = {}
    for name, setting in Settings.model_fields.items():
        if name in _TOLD_BY_THE_HUB or name.startswith("jupyterhub_"):
            continue
        if name == "auth" and JUPYTERHUB not in settings.auth:  # as it is before there is a Hub
            continue
        secret = SecretStr in (setting.annotation, *get_args(setting.annotation))
        for variable in (f"PRESSROOM_{name.upper()}", name.upper()):
            if variable in os.environ and (variable.startswith("PRESSROOM_") or variable in _BY_ANOTHER_NAME):
                found[variable] = f'os.environ["{variable}"]' if secret else _quoted(os.environ[variable])
    if settings.database_url is None and "PRESSROOM_DATA_DIR" not in found:
        # Else it would be in the home of the Hub's account.
        found["PRESSROOM_DATA_DIR"] = _quoted(str(settings.data_dir))
    return found


def _executable() -> str:
    """The command of this installation."""
    beside = Path(sys.executable).with_name("pressroom")
    return str(beside if beside.exists() else Path(sys.argv[0]).absolute())


def _quoted(value: str) -> str:
    """A Python string in double quotes, which JSON's are too."""
    return dumps(value, ensure_ascii=False)
