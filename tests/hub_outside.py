"""A Pressroom that a real JupyterHub serves and does not start: by the block of the how-to, with other addresses."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from hub import OUTSIDE, PAGE, PYTHON, Hub


@contextmanager
def outside(hub: Hub, environment: dict[str, str]) -> Iterator[None]:
    """Start it, beside a Hub that is configured, and end it at the end. Its log is in the Hub's folder."""
    [block] = re.findall(r"```sh\n(export PRESSROOM_AUTH=jupyterhub\n.*?)```", PAGE.read_text(), re.DOTALL)
    token = hub.folder / "outside-token"
    token.touch(mode=0o600)
    token.write_text(hub.outside_token)
    at = urlsplit(hub.outside_at)
    for ours, here in (
        ("http://127.0.0.1:8081/hub/api", hub.api),
        ("/services/pressroom/", f"/services/{OUTSIDE}/"),
        ("https://hub.example.com", hub.url),
        ("/etc/pressroom/hub-token", str(token)),
        ("pressroom serve --host 0.0.0.0", f"exec pressroom serve --host {at.hostname} --port {at.port}"),
    ):
        assert ours in block, ours
        block = block.replace(ours, here)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTERHUB_", "PRESSROOM_"))}
    named = {"PRESSROOM_JUPYTERHUB_SERVICE_NAME": OUTSIDE, "PATH": f"{PYTHON}:{os.environ['PATH']}"}
    with (hub.folder / "outside.log").open("w") as log:
        process = subprocess.Popen(
            ["bash", "-euc", block],
            env=kept | environment | named,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
