"""The files in ``deploy``: the units by systemd's own tools, those for Kubernetes by the schemas of Kubernetes and of
KEDA, and by what they say of Pressroom."""

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml
from kubernetes_validate import ValidationError, validate
from sqlalchemy import text
from traitlets.config import Config
from typer.testing import CliRunner

from hub import PAGE
from line import Line
from pressroom.cli.main import app
from pressroom.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = DEPLOY / "systemd"
KUBERNETES = DEPLOY / "kubernetes"
MANIFESTS = ("api.yaml", "worker.yaml", "scaled-object.yaml")
KUBERNETES_VERSION = "1.37"
STARTED = ("pressroom.service", "pressroom-worker@1.service", "pressroom-backup.timer", "pressroom-backup.service")
INSTALLED = "/opt/pressroom/bin/pressroom"
EXPOSURE = 4.5
"""What systemd calls the exposure of a unit, from 0 to 10, at most."""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, for the Pressroom that is tested."""
    here = str(Path(sys.executable).with_name("pressroom"))
    for unit in UNITS.glob("pressroom*.*"):
        (tmp_path / unit.name).write_text(unit.read_text().replace(INSTALLED, here))
    return tmp_path


@pytest.mark.parametrize("unit", STARTED)
def test_systemd_finds_nothing_wrong_with_a_unit(units: Path, unit: str) -> None:
    (units / "pressroom-worker@1.service").symlink_to("pressroom-worker@.service")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", units / unit], capture_output=True, text=True, timeout=60
    )
    assert [line for line in done.stderr.splitlines() if str(units) in line or "pressroom" in line] == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", [unit for unit in STARTED if unit.endswith(".service")])
def test_a_unit_holds_back_what_notebooks_do_without(units: Path, unit: str) -> None:
    (units / "pressroom-worker@1.service").symlink_to("pressroom-worker@.service")
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            f"--threshold={EXPOSURE * 10:.0f}",
            "--no-pager",
            units / unit,
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_a_backup_of_every_night_is_the_fourteenth_last_or_newer(units: Path, tmp_path: Path) -> None:
    """The unit's own command, on files of that many nights."""
    unit = units / "pressroom-backup.service"
    [command] = re.findall(r"^ExecStartPost=/bin/sh -c '(.*)'$", unit.read_text(), re.MULTILINE)
    kept = tmp_path / "kept"
    kept.mkdir()
    for night in range(1, 21):
        (kept / f"2026-11-{night:02}T030000.tar").touch()
    subprocess.run(["/bin/sh", "-c", command.replace("$$", "$")], env={"STATE_DIRECTORY": str(kept)}, check=True)
    assert sorted(file.name[8:10] for file in kept.iterdir()) == [f"{night:02}" for night in range(7, 21)]


def words(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def test_the_units_start_commands_that_there_are_with_settings_that_there_are() -> None:
    for unit in UNITS.glob("*.service"):
        [start] = words(unit, "ExecStart")
        command, *rest = start.partition(INSTALLED)[2].split()
        help_of_it = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "300"})
        assert help_of_it.exit_code == 0
        assert all(word in help_of_it.output for word in rest if word.startswith("--"))
        assert words(unit, "KillMode") == ([] if command == "backup" else ["mixed"])
    known = {f"PRESSROOM_{name.upper()}" for name in Settings.model_fields} | {"DATABASE_URL"}
    assert set(re.findall(r"^([A-Z_]+)=", (UNITS / "pressroom.env").read_text(), re.MULTILINE)) <= known
    [stop] = words(UNITS / "pressroom-worker@.service", "TimeoutStopSec")
    [grace] = words(UNITS / "pressroom.env", "PRESSROOM_WORKER_GRACE_SECONDS")
    assert int(stop) > int(grace)


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / name).read_text()))


def one(name: str, kind: str) -> dict[str, Any]:
    [found] = [document for document in documents(name) if document["kind"] == kind]
    return found


def kedas(document: dict[str, Any]) -> None:
    """Hold a resource against KEDA's definition of it; what that does not know is what it leaves out."""
    from cloudcoil.models.keda import v1alpha1  # takes seconds, so whoever runs another test is spared it

    told = getattr(v1alpha1, document["kind"]).model_validate(document)
    assert told.model_dump(by_alias=True, exclude_unset=True) == document


def held_against_its_schema(document: dict[str, Any]) -> None:
    if document["apiVersion"].startswith("keda.sh/"):
        kedas(document)
    else:
        validate(document, KUBERNETES_VERSION, strict=True)


def test_every_manifest_is_what_its_schema_says() -> None:
    found = [document for name in MANIFESTS for document in documents(name)]
    assert len(found) == 7
    for document in found:
        held_against_its_schema(document)


@pytest.mark.parametrize(
    ("name", "kind", "right", "wrong"),
    [
        ("worker.yaml", "Deployment", '"readOnlyRootFilesystem"', '"readOnlyRootFileSystem"'),
        ("worker.yaml", "Deployment", '"selector"', '"selectors"'),
        ("api.yaml", "Deployment", '"containerPort": 8002', '"containerPort": "8002"'),
        ("api.yaml", "NetworkPolicy", '"podSelector"', '"selector"'),
        ("scaled-object.yaml", "ScaledObject", '"minReplicaCount"', '"minReplicas"'),
        ("scaled-object.yaml", "ScaledObject", '"maxReplicaCount": 20', '"maxReplicaCount": "twenty"'),
        ("scaled-object.yaml", "ScaledObject", '"targetQueryValue": "4"', '"targetQueryValue": 4'),
        ("scaled-object.yaml", "TriggerAuthentication", '"parameter"', '"param"'),
    ],
)
def test_a_manifest_that_is_wrong_is_found(name: str, kind: str, right: str, wrong: str) -> None:
    text_of_it = json.dumps(one(name, kind))
    assert right in text_of_it
    with pytest.raises((ValidationError, pydantic.ValidationError, AssertionError)):
        held_against_its_schema(json.loads(text_of_it.replace(right, wrong)))


@pytest.mark.parametrize("name", ["api.yaml", "worker.yaml"])
def test_containers_run_commands_with_settings_that_there_are(name: str) -> None:
    known = {f"PRESSROOM_{setting.upper()}" for setting in Settings.model_fields} | {"DATABASE_URL", "HOME", "USER"}
    spec = one(name, "Deployment")["spec"]["template"]["spec"]
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        _, *command = container["command"]
        given = [word for word in command if word.startswith("--")]
        names = [word for word in command if re.fullmatch("[a-z]+", word)][: 2 if command[0] == "db" else 1]
        help_of_it = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "300"})
        assert help_of_it.exit_code == 0
        assert all(word in help_of_it.output for word in given)
        assert {variable["name"] for variable in container.get("env", ())} <= known
        assert container["securityContext"]["readOnlyRootFilesystem"]


async def test_the_query_counts_what_waits_and_what_runs(line: Line) -> None:
    trigger = one("scaled-object.yaml", "ScaledObject")["spec"]["triggers"][0]
    [running, *_] = await line.submit(n=3)
    await line.submit(queue="reports")
    await line.submit(queue="elsewhere")
    later = await line.submit()
    assert await line.claim() == running
    async with line.database.transaction() as session:
        moment = "UPDATE notebook_executions SET not_before = now() + interval '1 hour' WHERE id = :id"
        await session.execute(text(moment), {"id": later[0]})
        assert await session.scalar(text(trigger["metadata"]["query"])) == 4


def test_what_scales_is_the_workers_and_what_is_counted_is_what_they_serve() -> None:
    scaled, worker = one("scaled-object.yaml", "ScaledObject")["spec"], one("worker.yaml", "Deployment")
    command = worker["spec"]["template"]["spec"]["containers"][0]["command"]
    said = dict(pairwise(command))
    trigger = scaled["triggers"][0]["metadata"]
    assert scaled["scaleTargetRef"]["name"] == worker["metadata"]["name"]
    assert "replicas" not in worker["spec"]  # else each `kubectl apply` undoes what KEDA has done
    assert said["--concurrency"] == trigger["targetQueryValue"]
    assert re.findall(r"'(\w+)'", trigger["query"].split("AND")[0]) == said["--queues"].split(",")
    grace = next(
        v for v in worker["spec"]["template"]["spec"]["containers"][0]["env"] if v["name"].endswith("GRACE_SECONDS")
    )
    assert worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > int(grace["value"])


def test_the_charts_values_give_the_scopes_and_roles_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    [page] = re.findall(r"```python\n(# jupyterhub_config\.py\nimport os\n.*?)```", PAGE.read_text(), re.DOTALL)
    monkeypatch.setenv("DATABASE_URL", "postgresql://")
    hub = Config()
    hub.JupyterHub.services, hub.JupyterHub.custom_scopes, hub.JupyterHub.load_roles = [], {}, []
    exec(page, {"c": hub})
    values = yaml.safe_load((KUBERNETES / "zero-to-jupyterhub.yaml").read_text())["hub"]
    roles = [{"name": name, **role} for name, role in values["loadRoles"].items()]
    assert roles == [dict(role) for role in hub.JupyterHub.load_roles]
    assert values["config"]["JupyterHub"]["custom_scopes"] == dict(hub.JupyterHub.custom_scopes)
    service, [wanted] = values["services"]["pressroom"], hub.JupyterHub.services
    for name in ("oauth_no_confirm", "oauth_client_allowed_scopes"):
        assert service[name] == wanted[name]
    api = one("api.yaml", "Service")
    assert service["url"] == f"http://{api['metadata']['name']}:{api['spec']['ports'][0]['port']}"
