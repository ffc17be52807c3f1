"""``make audit``: red where something that is locked is known to be vulnerable, and never green without a word."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ports import free_port

SCRIPT = Path(__file__).parents[2] / ".ci" / "audit.py"


class Advisories(BaseHTTPRequestHandler):
    """Advisories in OSV's form, in which the packages of ``vulnerable`` have one."""

    protocol_version = "HTTP/1.1"
    vulnerable = frozenset[str]()
    status = 200

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["package"]["name"]
        package = {"name": name, "ecosystem": "PyPI"}
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99999"}]}]
        known = {
            "id": "PYSEC-1",
            "summary": "It is vulnerable.",
            "affected": [{"package": package, "ranges": ranges, "versions": [asked["version"]]}],
        }
        body = json.dumps({"vulns": [known]} if name in self.vulnerable else {}).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def advisories() -> Iterator[tuple[str, type[Advisories]]]:
    class Own(Advisories):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query", Own
    server.shutdown()
    thread.join()
    server.server_close()


def audit(url: str, **variables: str) -> tuple[int, str]:
    told = os.environ | {"OSV_URL": url, "NO_PROXY": "127.0.0.1"} | variables
    done = subprocess.run([sys.executable, SCRIPT], env=told, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


def test_what_is_vulnerable_is_named(advisories: tuple[str, type[Advisories]]) -> None:
    url, answers = advisories
    answers.vulnerable = frozenset({"starlette"})
    code, said = audit(url)
    assert code == 1, said
    assert "starlette" in said
    assert "PYSEC-1, mended in 99999" in said


def test_where_nothing_is_known_against_anything_it_is_well(advisories: tuple[str, type[Advisories]]) -> None:
    code, said = audit(advisories[0])
    assert code == 0, said
    assert ", 0 to look at." in said
    assert int(said.split()[0]) > 100


def test_advisories_that_cannot_be_reached_are_said_to_be_so_and_those_that_fail_are_red(
    advisories: tuple[str, type[Advisories]],
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/v1/query"
    code, said = audit(nowhere)
    assert (code, said.startswith("NOT AUDITED: the advisories at http://127.0.0.1")) == (0, True)
    assert audit(nowhere, AUDIT_REQUIRED="1")[0] == 1
    url, answers = advisories
    answers.status = 500
    code, said = audit(url)
    assert (code, "pip-audit failed" in said) == (1, True)
