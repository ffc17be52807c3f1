"""The JupyterHub of deploy/docker-compose.yml: people sign in at Keycloak, and Pressroom is a service beside it.

What differs from one installation to another comes from the environment, which the compose file sets.
"""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, "/etc/jupyterhub")
from authenticator import KeycloakAuthenticator
from jupyterhub.handlers.base import BaseHandler
from tornado.web import HTTPError

from accounts import Accounts, Refused

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub's own

HUB = os.environ["HUB_URL"].rstrip("/")
ISSUER = os.environ["PRESSROOM_OIDC_ISSUER"]
ENDPOINTS = f"{ISSUER}/protocol/openid-connect"
STATE = "/var/lib/jupyterhub"

c.JupyterHub.bind_url = "http://:8000"
c.JupyterHub.public_url = HUB
c.JupyterHub.db_url = f"sqlite:///{STATE}/jupyterhub.sqlite"
# A Hub of a new version brings its records to its schema, and keeps a copy of what they were.
c.JupyterHub.upgrade_db = True
c.JupyterHub.cookie_secret_file = f"{STATE}/cookie_secret"
c.ConfigurableHTTPProxy.pid_file = "/run/jupyterhub-proxy.pid"
# Node itself, as what is put before it would not pass on the signal to end.
c.ConfigurableHTTPProxy.command = [
    "/usr/local/bin/node",
    "/opt/proxy/node_modules/configurable-http-proxy/bin/configurable-http-proxy",
]

# Who signs in, and with which groups, Keycloak says.
c.JupyterHub.authenticator_class = KeycloakAuthenticator
c.OAuthenticator.client_id = "jupyterhub"
c.OAuthenticator.client_secret = os.environ["JUPYTERHUB_OIDC_CLIENT_SECRET"]
c.OAuthenticator.login_service = "Keycloak"
c.OAuthenticator.auto_login = True
c.OAuthenticator.oauth_callback_url = f"{HUB}/hub/oauth_callback"
c.OAuthenticator.logout_redirect_url = f"{ENDPOINTS}/logout?" + urlencode(
    {"client_id": "jupyterhub", "post_logout_redirect_uri": f"{HUB}/hub/home"}
)
c.GenericOAuthenticator.authorize_url = f"{ENDPOINTS}/auth"
c.GenericOAuthenticator.token_url = f"{ENDPOINTS}/token"
c.GenericOAuthenticator.userdata_url = f"{ENDPOINTS}/userinfo"
c.GenericOAuthenticator.scope = ["openid"]
c.GenericOAuthenticator.username_claim = "preferred_username"
c.GenericOAuthenticator.manage_groups = True
c.GenericOAuthenticator.auth_state_groups_key = lambda state: [
    group.removeprefix("/") for group in state["oauth_user"].get("groups", [])
]
c.GenericOAuthenticator.allow_all = True  # of the realm, into which nobody comes by themselves
c.GenericOAuthenticator.admin_groups = {"jupyterhub-admins"}
# Keycloak is asked again, with what it gave at the sign-in, which is kept encrypted (JUPYTERHUB_CRYPT_KEY): after five
# minutes, and before a server starts. Whoever it does not know any more, or has disabled, is to sign in again.
c.Authenticator.enable_auth_state = True
c.Authenticator.auth_refresh_age = 300
c.Authenticator.refresh_pre_spawn = True
# JupyterHub 6.1.1 asks each request for this and sets it on those with a token alone: whoever comes with a cookie after
# their time at Keycloak is over would get a 500, and would not be asked to sign in again.
BaseHandler._token_authenticated = False  # noqa: SLF001


def forget_processes(records: Path, started: Path) -> None:
    """Once in a container's life: the processes of a former one have ended, and their numbers are others' by now.

    ``started`` lies in a file system that ends with the container's life.
    """
    if records.exists() and not started.exists():
        with closing(sqlite3.connect(records)) as database, database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'spawners'").fetchone():
                database.execute("UPDATE spawners SET state = '{}'")
    started.touch()


forget_processes(Path(STATE, "jupyterhub.sqlite"), Path("/run/jupyterhub-started"))

# Each user is an account, here and in the workers' containers, from the first sign-in on.
accounts = Accounts()


def account_for(_authenticator: Any, _handler: Any, model: dict[str, Any]) -> dict[str, Any]:
    """Make the account of whoever signs in."""
    try:
        accounts.ensure(model["name"])
    except Refused as refused:
        raise HTTPError(403, str(refused)) from refused
    return model


c.Authenticator.post_auth_hook = account_for
c.Spawner.pre_spawn_hook = lambda spawner: accounts.ensure(spawner.user.name)
c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.Spawner.cmd = ["/opt/hub/bin/jupyterhub-singleuser"]
c.Spawner.notebook_dir = "~"
c.Spawner.default_url = "/lab"
c.Spawner.http_timeout = c.Spawner.start_timeout = 120
c.Spawner.environment = {
    "PATH": os.environ["PATH"],
    "LANG": os.environ["LANG"],
    "JUPYTER_PATH": os.environ["JUPYTER_PATH"],
    # From within the container, whatever stands in front of it.
    "PRESSROOM_URL": "http://127.0.0.1:8000/services/pressroom",
}

# Pressroom, as in docs/how-to/sign-in-with-jupyterhub.md. The workers are containers of their own. Its token is in the
# container's environment, so that Pressroom's commands are of the same settings there as the service.
c.JupyterHub.services = [
    {
        "name": "pressroom",
        "url": "http://127.0.0.1:8002",
        # On a machine that starts all the stack at once; the Hub ends where its service has not come by then.
        "timeout": 180,
        "command": ["/opt/pressroom/bin/pressroom", "serve", "--workers", "0", "--host", "0.0.0.0"],
        "environment": {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PRESSROOM_", "OTEL_")) or name in ("DATABASE_URL", "PATH", "LANG", "JUPYTER_PATH")
        },
        "api_token": os.environ["PRESSROOM_JUPYTERHUB_API_TOKEN"],
        "oauth_no_confirm": True,
        "oauth_client_allowed_scopes": ["custom:pressroom:execute", "custom:pressroom:write", "custom:pressroom:admin"],
    }
]
c.JupyterHub.custom_scopes = {
    "custom:pressroom:execute": {"description": "Execute notebooks in Pressroom."},
    "custom:pressroom:write": {"description": "Register and change notebooks in Pressroom."},
    "custom:pressroom:act": {"description": "Act for other users in Pressroom."},
    "custom:pressroom:admin": {"description": "Administer Pressroom."},
}
to_use_pressroom = ["access:services!service=pressroom", "custom:pressroom:execute", "custom:pressroom:write"]
c.JupyterHub.load_roles = [
    {"name": "user", "scopes": ["self", *to_use_pressroom]},
    {"name": "server", "scopes": ["users:activity!user", "access:servers!server", *to_use_pressroom]},
    {"name": "pressroom-admins", "groups": ["pressroom-admins"], "scopes": ["custom:pressroom:admin"]},
]

# Settings of an installation's own, for the Hub itself, in files that are mounted here.
for each in sorted(Path("/etc/jupyterhub/config.d").glob("*.py")):
    load_subconfig(str(each))  # type: ignore[name-defined]  # noqa: F821 - JupyterHub's own
