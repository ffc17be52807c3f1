"""What an examination says of what it has seen."""

import json
import os
import threading
from io import StringIO
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from pressroom import __version__
from pressroom.cli.doctor import show
from pressroom.doctor.case import Case, settings_as_far_as_right
from pressroom.doctor.examination import Check, _all_begun, _all_of
from pressroom.doctor.findings import Finding, State, ok, warning, wrong
from pressroom.doctor.machine import kernels
from pressroom.doctor.queue import Seen, judged, lacking
from pressroom.doctor.sign_in import known_as, local
from pressroom.settings import Settings


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without settings."""
    for variable in [name for name in os.environ if name.startswith(("PRESSROOM_", "JUPYTERHUB_", "DATABASE_URL"))]:
        monkeypatch.delenv(variable)
    return monkeypatch


def seen(name: str = "a", queues: list[str] | None = None, silent: float = 1, version: str = __version__) -> Seen:
    return Seen(name, queues, 2, version, silent, ["python3"])


def states(findings: list[Finding]) -> dict[str, State]:
    return {finding.part: finding.state for finding in findings}


def test_a_check_that_hangs_and_one_that_fails_are_findings_and_hide_no_other() -> None:
    held = threading.Event()

    def hangs(_: Case) -> list[Finding]:
        held.wait()
        return []

    def fails(_: Case) -> list[Finding]:
        raise ZeroDivisionError("nothing to share")

    case = Case(Settings())
    checks = [Check("a", hangs, 0.1, "look"), Check("b", fails, 5), Check("c", lambda _: [ok("c", "well")], 5)]
    found = _all_of(_all_begun(checks, case))
    held.set()
    assert [(finding.part, finding.state) for finding in found] == [
        ("a", State.WRONG),
        ("b", State.WRONG),
        ("c", State.OK),
    ]
    assert "no answer within 0.1 s" in found[0].says
    assert found[0].mend == "look"
    assert "ZeroDivisionError: nothing to share" in found[1].says


def test_a_queue_that_no_living_worker_serves_is_wrong() -> None:
    waiting = [("default", 3, 60.0), ("gpu", 2, 600.0), ("@run-1", 1, 5.0)]
    workers = [seen("a", ["default"]), seen("b", ["gpu"], silent=90)]
    found = judged(workers, waiting, 20)
    [bad] = [finding for finding in found if finding.state is State.WRONG]
    assert "2 executions wait in queue gpu" in bad.says
    assert bad.mend == "pressroom worker --queues gpu"
    assert any("b gave no sign of life for 90 s" in finding.says for finding in found)


def test_a_worker_for_every_queue_serves_all_that_waits() -> None:
    found = judged([seen()], [("default", 3, 60.0), ("gpu", 2, 600.0)], 20)
    assert states(found) == {"workers": State.OK, "queues": State.OK}


def test_a_kernel_that_is_wanted_and_that_no_living_worker_has_is_wrong() -> None:
    workers = [seen("a", ["default"]), Seen("b", ["gpu"], 1, __version__, 1, None), Seen("c", None, 1, "0", 90, ["r"])]
    wanted = [("Python3", "default"), ("julia", "default"), ("julia", "gpu"), ("r", "elsewhere")]
    [bad] = lacking(workers, wanted, 20)
    assert (bad.part, bad.state) == ("kernels", State.WRONG)
    assert "no kernel named 'julia' at the workers of queue 'default'" in bad.says


def test_no_worker_and_one_of_another_version_are_warnings() -> None:
    assert states(judged([], [], 20)) == {"workers": State.WARNING}
    found = judged([seen(version="0.0.9")], [], 20)
    assert [finding.state for finding in found] == [State.OK, State.WARNING]


@pytest.mark.parametrize(
    ("status", "who", "state", "words"),
    [
        (200, {"kind": "service", "name": "pressroom"}, State.OK, "knows this service as pressroom"),
        (200, {"kind": "user", "name": "ana"}, State.WRONG, "that of user ana"),
        (403, {}, State.WRONG, "does not take this service's token"),
        (500, {}, State.WRONG, "answers 500"),
    ],
)
def test_the_hubs_answer_says_whether_the_token_is_this_services(
    status: int, who: dict[str, str], state: State, words: str
) -> None:
    found = known_as(Settings(), "the Hub 5.0 answers", httpx.Response(status, json=who))
    assert found.state is state
    assert words in found.says


def test_without_a_sign_in_only_this_machine_may_connect() -> None:
    [here] = local(Case(Settings(auth=["local"], host="127.0.0.1")))
    assert (here.state, "none is set up" in here.says) == (State.OK, True)
    [there] = local(Case(Settings(auth=["local"], host="0.0.0.0")))
    assert there.state is State.WRONG


def test_a_setting_that_is_wrong_is_told_and_hides_no_other(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("PRESSROOM_PORT", "eight")
    clean.setenv("PRESSROOM_AUTH", "oidc")
    clean.setenv("PRESSROOM_WORKERS", "3")
    settings, found = settings_as_far_as_right()
    assert {finding.says.split(":")[0] for finding in found} == {"PRESSROOM_PORT", "PRESSROOM_AUTH"}
    assert (settings.workers, settings.port, settings.auth) == (3, 8002, ["local"])
    assert os.environ["PRESSROOM_AUTH"] == "oidc"


def test_what_a_setting_lacks_is_told_where_nothing_of_it_is_wrong(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("PRESSROOM_TLS_CERTIFICATE", "/nowhere")
    settings, found = settings_as_far_as_right()
    assert "needed together" in found[0].says
    assert settings.tls_certificate is None


def test_no_finding_shows_a_secret() -> None:
    settings = Settings(
        database_url="postgresql://a:hunter2@db/x", oidc_client_secret="swordfish", metrics_token="open sesame"
    )
    said = wrong("a", "hunter2 and swordfish in postgresql://a:hunter2@db/x", "say open sesame")
    shown = str(said.without(Case(settings).secrets))
    assert not any(word in shown for word in ("hunter2", "swordfish", "sesame"))


def test_each_finding_is_a_line_and_its_command_stands_below() -> None:
    said = StringIO()
    findings = [
        ok("disk", "enough"),
        warning("clock", "late", "ntp"),
        wrong("migrations", "old", "pressroom db upgrade"),
    ]
    show(Console(file=said, width=100), findings)
    lines = [line.rstrip() for line in said.getvalue().splitlines()]
    assert lines == [
        "ok       disk        enough",
        "warning  clock       late",
        "                     mend: ntp",
        "wrong    migrations  old",
        "                     mend: pressroom db upgrade",
        "",
        "1 wrong, 1 warning.",
    ]


def test_a_kernel_whose_program_is_gone_is_wrong_and_the_others_are_forked(
    clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = {"argv": ["/nowhere/python", "-m", "ipykernel_launcher"], "display_name": "x", "language": "python"}
    (tmp_path / "kernels" / "gone").mkdir(parents=True)
    (tmp_path / "kernels" / "gone" / "kernel.json").write_text(json.dumps(spec))
    clean.setenv("JUPYTER_PATH", str(tmp_path))
    found = {finding.says.split(" ")[0]: finding.state for finding in kernels(Case(Settings()))}
    assert (found["gone"], found["python3"]) == (State.WRONG, State.OK)
