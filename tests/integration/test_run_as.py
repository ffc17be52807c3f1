"""Notebooks that run as their users, on real accounts: what is whose, and who is refused."""

import grp
import json
import os
import pwd
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from accounts import IS_ROOT, WHY, account, client_of, give, processes_of, uid_of
from besieged import command, serving, until
from pressroom.cli.main import app
from pressroom.errors import Invalid, NotAllowed
from pressroom.executions.kernels import has_of_its_own
from pressroom.notebooks import accounts
from pressroom.notebooks.accounts import account_named
from pressroom.notebooks.places import Places
from pressroom.press.account import Account, usual_umask
from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
pytestmark = pytest.mark.skipif(not IS_ROOT, reason=WHY)


@pytest.fixture(scope="module")
def homes(open_module_directory: Path) -> Path:
    made = open_module_directory / "home"
    made.mkdir()
    return made


@pytest.fixture(scope="module")
def ana(homes: Path) -> Iterator[str]:
    with account(homes, "ana") as name:
        yield name


@pytest.fixture(scope="module")
def served(homes: Path, module_database_url: URL) -> Iterator[httpx.Client]:
    shared = homes.parent / "shared"
    shared.mkdir()
    settings = Settings(
        database_url=module_database_url.render_as_string(hide_password=False),
        users_root=homes,
        shared_roots=[shared],
        auth=["oidc"],  # whoever is asked for here has a token of Pressroom's own
        oidc_issuer="https://issuer.invalid",
        grace_seconds=1,
        worker_grace_seconds=2,
        workers=2,
        run_as="user",
    )
    with Service(settings) as running, client_of(running.url, module_database_url, "boss", admin=True) as client:
        yield client


def home_of(name: str) -> Path:
    return Path(pwd.getpwnam(name).pw_dir)


def executed(http: httpx.Client, path: Path, username: str, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    """The answer to an execution, and what its cells printed."""
    answer = http.post("/execute", json={"username": username, "input_path": str(path), "parameters": {}, **fields})
    assert answer.status_code == 200, answer.text
    book = nbformat.read(answer.json()["output_notebook"], 4)
    texts = ["".join(o.text for o in cell.outputs if o.output_type == "stream") for cell in book.cells]
    return answer.json(), texts


WHO = """
import json, os, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "uids": os.getresuid(), "gids": os.getresgid(), "groups": sorted(os.getgroups()), "cwd": os.getcwd(),
    "capabilities": {status[k].strip() for k in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16},
    "no_new_privs": status["NoNewPrivs"].strip(), "umask": status["Umask"].strip(),
    "env": {k: os.environ.get(k) for k in ("HOME", "USER", "LOGNAME", "SHELL", "IPYTHONDIR", "TMPDIR")},
    "home": os.path.expanduser("~"), "forked": b"fork_server.py" in open("/proc/self/cmdline", "rb").read(),
}))
open("made.txt", "w").close(); os.mkdir("made")
"""


def test_a_kernel_is_its_users_account_and_nothing_else(
    served: httpx.Client, homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = f"g{os.urandom(4).hex()}"
    subprocess.run(["groupadd", group], check=True)
    try:
        with account(homes, "cy", "--groups", group, "--shell", "/bin/bash") as cy:
            path = give(write_notebook(home_of(cy) / "work" / "who.ipynb", WHO), cy)
            told = json.loads(executed(served, path, cy)[1][0])
            entry = pwd.getpwnam(cy)
            assert (told["uids"], told["gids"]) == ([entry.pw_uid] * 3, [entry.pw_gid] * 3)
            assert told["groups"] == sorted({entry.pw_gid, grp.getgrnam(group).gr_gid})
            assert told["capabilities"]
            assert told["forked"], "the stock launcher started it"
            assert told["no_new_privs"] == "1"
            assert told["umask"] == f"{usual_umask():04o}"
            assert told["cwd"] == str(path.parent)
            assert told["home"] == entry.pw_dir
            assert told["env"] == {
                "HOME": entry.pw_dir,
                "USER": cy,
                "LOGNAME": cy,
                "SHELL": "/bin/bash",
                "IPYTHONDIR": None,
                "TMPDIR": None,
            }
            assert owned(path.parent / "made.txt") == (entry.pw_uid, entry.pw_gid, 0o666 & ~usual_umask())
            assert owned(path.parent / "made") == (entry.pw_uid, entry.pw_gid, 0o777 & ~usual_umask())
    finally:
        subprocess.run(["groupdel", group], check=True)


KEEPS = """
import os
folder = os.environ["PRESSROOM_ARTIFACTS"]
open(folder + "/kept.txt", "w").write("hers")
os.symlink("/etc/shadow", folder + "/link")
"""


def test_the_artifact_directory_is_its_users_and_no_link_leads_out_of_it(served: httpx.Client, ana: str) -> None:
    path = give(write_notebook(home_of(ana) / "keeps" / "n.ipynb", KEEPS), ana)
    one = executed(served, path, ana)[0]["execution_id"]
    [listed] = served.get(f"/db/executions/{one}/artifacts").json()
    assert listed["path"] == "kept.txt"
    [folder] = (path.parent / "executions").glob("*.artifacts")
    entry = pwd.getpwnam(ana)
    assert owned(folder) == (entry.pw_uid, entry.pw_gid, 0o777 & ~usual_umask())
    assert served.get(listed["href"]).text == "hers"
    (folder / "kept.txt").unlink()
    (folder / "kept.txt").symlink_to("/etc/shadow")
    assert served.get(listed["href"]).status_code == 404


def owned(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def test_what_the_service_writes_for_a_user_is_the_users(served: httpx.Client, homes: Path, ana: str) -> None:
    entry, umask = pwd.getpwnam(ana), usual_umask()
    data = write_notebook(homes.parent / "upload.ipynb", "print(1)").read_bytes()
    before = os.umask(0o077)  # the process's own, which is not the account's
    try:
        sent = served.post("/upload-notebook", files={"file": ("up.ipynb", data)}, data={"username": ana})
        assert sent.status_code == 201, sent.text
        up = home_of(ana) / "up.ipynb"
        registered = served.post("/db/notebooks", json={"name": "up", "file_path": str(up), "username": ana})
        assert registered.status_code == 201, registered.text
        wanted = {"notebook_id": registered.json()["id"], "username": ana, "file_path": "copy.ipynb", "name": "copy"}
        copied = served.post("/copy-notebook", json=wanted)
        assert copied.status_code == 201, copied.text
        answer, _ = executed(served, up, ana)
    finally:
        os.umask(before)
    output = Path(answer["output_notebook"])
    for path, mode in ((up, 0o666), (home_of(ana) / "copy.ipynb", 0o666), (output, 0o666), (output.parent, 0o777)):
        assert owned(path) == (entry.pw_uid, entry.pw_gid, mode & ~umask), path
    listed = served.get(f"/list-notebooks/{ana}").json()
    assert {"up.ipynb", "copy.ipynb"} <= {file["relative_path"] for file in listed["notebooks"]}
    page = served.get(f"/db/executions/{answer['execution_id']}/notebook")
    assert page.status_code == 200
    assert page.json()["cells"][0]["outputs"][0]["text"] in ("1\n", ["1\n"])


def test_every_way_to_a_file_is_gone_as_its_user(served: httpx.Client, ana: str) -> None:
    path = give(write_notebook(home_of(ana) / "ways" / "way.ipynb", "print(a)", parameters="a = 1"), ana)
    made = served.post("/db/notebooks", json={"name": "way", "file_path": str(path), "username": ana}).json()["id"]

    def asked(method: str, url: str, **options: Any) -> Any:
        answer = served.request(method, url, **options)
        assert answer.status_code in (200, 201), f"{url}: {answer.text}"
        return answer.json() if "json" in answer.headers["Content-Type"] else answer.text

    asked("POST", f"/db/parameters/infer/{made}")
    asked("POST", "/db/parameters", json={"notebook_id": made, "param_name": "a", "param_type": "integer"})
    asked("PUT", f"/db/notebooks/{made}", json={"file_path": str(path), "description": "x"})
    asked("GET", "/download-notebook", params={"path": str(path)})
    wanted = {"notebook_id": made, "file_path": "ways/made.ipynb", "username": ana, "parameters": {"a": 5}}
    template = asked("POST", "/create-from-template", json=wanted)
    assert owned(Path(template["file_path"]))[0] == pwd.getpwnam(ana).pw_uid
    chosen = {"input_path": str(path), "output_path": str(path.with_name("out.ipynb")), "params": {"a": 2}}
    asked("POST", "/execute-notebook", json={**chosen, "username": ana})
    done = asked("POST", "/execute", json={"input_path": str(path), "parameters": {"a": 3}, "in_place": True})
    assert owned(path)[0] == pwd.getpwnam(ana).pw_uid
    assert "3" in asked("GET", f"/db/executions/{done['execution_id']}/html")
    again = served.post(f"/db/executions/{done['execution_id']}/retry")
    assert again.status_code == 202, again.text
    assert ended(served, again.json()["id"])["status"] == "success"
    failing = give(write_notebook(path.with_name("raises.ipynb"), "1 / 0"), ana)
    raised = served.post("/execute", json={"input_path": str(failing), "parameters": {}})
    assert (raised.status_code, raised.json()["ename"]) == (422, "ZeroDivisionError")


@pytest.mark.parametrize("target", [".ssh/id_rsa", "private.ipynb"])
def test_a_registered_notebook_that_becomes_a_link_is_not_read_with_its_owners_rights(
    served: httpx.Client, homes: Path, module_database_url: URL, target: str
) -> None:
    url = str(served.base_url)
    with account(homes, "alice") as alice, account(homes, "mallory") as mallory:
        folder = homes.parent / "shared" / f"team-{mallory}"
        path = write_notebook(folder / "team.ipynb", "1")
        secret = write_notebook(home_of(alice) / target, "the private words of the owner")
        give(secret, alice)
        os.chown(folder, uid_of(mallory), -1)
        with (
            client_of(url, module_database_url, alice) as owner,
            client_of(url, module_database_url, mallory) as viewer,
        ):
            wanted = {"name": f"team {mallory}", "file_path": str(path), "username": alice, "run_as": "owner"}
            made = owner.post("/db/notebooks", json=wanted).json()["id"]
            granted = owner.put(f"/db/notebooks/{made}/grants/user/{mallory}", json={"level": "runner"})
            assert granted.status_code in (200, 201), granted.text
            params = {"notebook_id": made}
            assert viewer.get("/download-notebook", params=params).status_code == 200
            path.unlink()
            path.symlink_to(secret)
            copied = {"notebook_id": made, "username": mallory, "file_path": "copy.ipynb", "name": "copy"}
            for answer in (
                viewer.get("/download-notebook", params=params),
                viewer.post("/copy-notebook", json=copied),
                viewer.post(f"/db/notebooks/{made}/executions", json={"parameters": {}}),
                # The owner, too, asked for what was registered, and registers the other file anew where it is meant.
                owner.get("/download-notebook", params=params),
            ):
                assert answer.status_code == 403, answer.text
                assert "private words" not in answer.text
            if target.endswith(".ipynb"):
                assert owner.get("/download-notebook", params={"path": str(secret)}).status_code == 200


def test_an_input_that_becomes_a_link_before_it_is_executed_is_refused(
    served: httpx.Client, homes: Path, ana: str
) -> None:
    path = write_notebook(homes.parent / "shared" / "again" / "again.ipynb", "1")
    path.parent.chmod(0o777)
    done, _ = executed(served, path, ana)
    secret = give(write_notebook(home_of(ana) / "secret.ipynb", "print('the private words')"), ana)
    path.unlink()
    path.symlink_to(secret)
    again = served.post(f"/db/executions/{done['execution_id']}/retry")
    assert again.status_code == 403, again.text
    assert "is a link now" in again.json()["detail"]


def test_the_folder_of_outputs_may_be_a_link_from_the_start(served: httpx.Client, ana: str) -> None:
    path = give(write_notebook(home_of(ana) / "linked" / "linked.ipynb", "print(7)"), ana)
    elsewhere = home_of(ana) / "elsewhere"
    elsewhere.mkdir()
    give(elsewhere, ana)
    (path.parent / "executions").symlink_to(elsewhere)
    answer, texts = executed(served, path, ana)
    assert Path(answer["output_notebook"]).parent == elsewhere
    assert texts == ["7\n"]


def test_the_kernel_reads_the_startup_files_and_the_configuration_of_its_user(served: httpx.Client, ana: str) -> None:
    profile = home_of(ana) / ".ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True, exist_ok=True)
    (profile / "startup" / "00-mine.py").write_text("mine = __import__('os').getuid()")
    (profile / "ipython_kernel_config.py").write_text("c.InteractiveShell.ast_node_interactivity = 'all'")
    plots = home_of(ana) / ".config" / "matplotlib" / "matplotlibrc"
    plots.parent.mkdir(parents=True, exist_ok=True)
    plots.write_text("savefig.dpi: 77\n")
    for path in (profile / "startup" / "00-mine.py", profile / "ipython_kernel_config.py", plots):
        give(path, ana)
    source = (
        "import matplotlib\n"
        "print(mine, get_ipython().profile_dir.location)\n"
        "print(matplotlib.rcParams['savefig.dpi'], matplotlib.get_configdir())\n"
        "1\n2"
    )
    path = give(write_notebook(home_of(ana) / "mine.ipynb", source), ana)
    answer, texts = executed(served, path, ana)
    assert texts[0].split() == [str(pwd.getpwnam(ana).pw_uid), str(profile), "77.0", str(plots.parent)]
    cell = nbformat.read(answer["output_notebook"], 4).cells[0]
    assert [o.data["text/plain"] for o in cell.outputs if o.output_type == "execute_result"] == ["1", "2"]


def test_a_kernel_of_another_kind_runs_as_its_user_too(served: httpx.Client, ana: str) -> None:
    spec = home_of(ana) / ".local" / "share" / "jupyter" / "kernels" / "mine"
    spec.mkdir(parents=True)
    argv = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "mine", "language": "python"}))
    give(spec / "kernel.json", ana)
    source = (
        "import os\nprint(os.getresuid(), open('/proc/self/cmdline').read().replace('\\0', ' '))\n"
        "!echo out > /dev/stdout"
    )
    path = give(write_notebook(home_of(ana) / "own.ipynb", source, kernel="mine"), ana)
    _, texts = executed(served, path, ana)
    uid = pwd.getpwnam(ana).pw_uid
    assert texts[0].startswith(f"({uid}, {uid}, {uid})")
    assert "-m ipykernel_launcher -f /tmp/pressroom-" in texts[0]
    assert "out" in texts[0]
    assert not [folder for folder in Path("/tmp").glob("pressroom-*") if folder.stat().st_uid == uid]


def test_whether_an_account_has_a_kernel_is_seen_with_its_rights(homes: Path, ana: str) -> None:
    with account(homes, "eve") as eve:
        kernels = {name: home_of(name) / ".local" / "share" / "jupyter" / "kernels" for name in (ana, eve)}
        for name, kernel in ((ana, "private"), (eve, "hers")):
            (kernels[name] / kernel).mkdir(parents=True)
            (kernels[name] / kernel / "kernel.json").write_text("{}")
            give(kernels[name] / kernel / "kernel.json", name)
        (kernels[ana] / "private").chmod(0o700)
        (kernels[eve] / "stolen").symlink_to(kernels[ana] / "private")
        asked = ("hers", "Hers", "stolen", "gone", "../kernels/hers", "")
        found = {name for name in asked if has_of_its_own(account_named(eve), name)}
    assert found == {"hers", "Hers"}


def test_a_kernel_of_another_language_speaks_where_only_its_user_can_hear_it(served: httpx.Client, ana: str) -> None:
    source = "id -u; cat $(tr '\\0' '\\n' < /proc/$PPID/cmdline | tail -n 1)"
    path = give(write_notebook(home_of(ana) / "bash.ipynb", source, kernel="bash"), ana)
    uid, _, connection = executed(served, path, ana)[1][0].partition("\n")
    assert int(uid) == pwd.getpwnam(ana).pw_uid
    assert json.loads(connection)["transport"] == "ipc"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nobody-has-this", "has no account"),
        ("root", r"is an account of the system \(uid 0\)"),
        ("daemon", r"is an account of the system \(uid 1\)"),
        ("nobody", r"is an account of the system \(uid 65534\)"),
    ],
)
def test_a_name_without_an_account_of_a_user_is_refused(served: httpx.Client, homes: Path, name: str, why: str) -> None:
    with pytest.raises(NotAllowed, match=why):
        account_named(name)
    path = write_notebook(homes.parent / "shared" / "for-all.ipynb", "1")
    answer = served.post("/execute", json={"username": name, "input_path": str(path), "parameters": {}})
    assert answer.status_code == 403
    assert "PRESSROOM_RUN_AS=user" in answer.json()["detail"]
    assert served.get(f"/list-notebooks/{name}").status_code == 403


def test_another_spelling_of_an_account_is_refused(ana: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = pwd.getpwnam(ana)
    # As directories answer that know names in any case.
    monkeypatch.setattr(accounts.pwd, "getpwnam", lambda _: entry)
    with pytest.raises(NotAllowed, match="another name of the account"):
        account_named(ana.upper())


def test_an_account_that_goes_while_its_execution_waits_fails_it_and_it_is_not_tried_again(
    served: httpx.Client, homes: Path, ana: str
) -> None:
    waits = "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.01)"
    path = give(write_notebook(home_of(ana) / "busy" / "busy.ipynb", waits), ana)
    busy = [submitted(served, path, ana) for _ in range(2)]  # as many as run at once
    with account(homes, "dee") as dee:
        late = submitted(served, give(write_notebook(home_of(dee) / "late.ipynb", "1"), dee), dee)
    (path.parent / "go").touch()
    row = ended(served, late)
    assert (row["status"], row["attempt"]) == ("failed", 1)
    assert f"{dee} has no account on this machine" in row["error_message"]
    assert [ended(served, execution_id)["status"] for execution_id in busy] == ["success", "success"]


def test_a_runner_that_its_user_stops_is_ended_after_the_time_limit(
    served: httpx.Client, ana: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pressroom.press.run.MARGIN_SECONDS", 0.5)
    stops = """
import glob, os, signal
for path in glob.glob("/proc/[0-9]*/status"):
    try:
        status = open(path).read()
    except (FileNotFoundError, ProcessLookupError):
        continue  # of the machine's other processes, one that has just ended
    if "pressroom-run" in status and f"Uid:\\t{os.getuid()}\\t" in status:
        os.kill(int(path.split("/")[2]), signal.SIGSTOP)
"""
    path = give(write_notebook(home_of(ana) / "stops.ipynb", stops, "1"), ana)
    body = {"username": ana, "input_path": str(path), "parameters": {}, "timeout_seconds": 5}
    answer = served.post("/execute", json=body)
    assert answer.status_code == 504, answer.text
    assert "did not stop when asked" in answer.json()["detail"]
    executed(served, give(write_notebook(home_of(ana) / "next.ipynb", "1"), ana), ana)


def submitted(http: httpx.Client, path: Path, username: str) -> int:
    body = {"username": username, "input_path": str(path), "parameters": {}}
    made = http.post("/execute", json=body, headers={"Prefer": "respond-async"})
    assert made.status_code == 202, made.text
    return int(made.json()["id"])


def test_a_worker_that_is_killed_leaves_nothing_of_its_users(homes: Path, database_url: URL) -> None:
    with account(homes, "eve") as eve, serving(database_url, homes, workers=0) as (_, url):
        waits = (
            "import os, subprocess, time\nsubprocess.Popen(['sleep', '600'])\nopen('up', 'w').close()\ntime.sleep(600)"
        )
        path = give(write_notebook(home_of(eve) / "waits.ipynb", waits), eve)
        worker = command(database_url, homes, "worker", "--concurrency", "1")
        try:
            with client_of(url, database_url, eve) as client:
                submitted(client, path, eve)
            until(lambda: (path.parent / "up").exists() or None, "the kernel")
            assert {process.name() for process in processes_of(eve)} == {"pressroom-krnl", "pressroom-run", "sleep"}
        finally:
            worker.kill()
            worker.wait()
        until(lambda: not processes_of(eve) or None, "the end of all that the worker had started")
        # Its artifact directory goes when the loss is noticed, which no worker is there to do.
        assert [left.suffix for left in (path.parent / "executions").iterdir()] == [".artifacts"]


def test_old_outputs_are_deleted_as_their_user_and_behind_a_link_nothing_is(
    served: httpx.Client, homes: Path, module_database_url: URL, ana: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, gone = (
        Path(
            executed(served, give(write_notebook(home_of(ana) / name / "old.ipynb", "1"), ana), ana)[0][
                "output_notebook"
            ]
        )
        for name in ("kept", "gone")
    )
    elsewhere = homes.parent / "systems"
    kept.parent.rename(elsewhere)
    kept.parent.symlink_to(elsewhere)
    for name, value in (
        ("DATABASE_URL", module_database_url.render_as_string(hide_password=False)),
        ("PRESSROOM_RUN_AS", "user"),
        ("PRESSROOM_USERS_ROOT", str(homes)),
    ):
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["prune", "--older-than", "0s", "--json"])
    assert done.exit_code == 0, done.output
    assert not gone.exists()
    assert (elsewhere / kept.name).exists()


def test_what_root_types_acts_as_the_users(
    served: httpx.Client, homes: Path, module_database_url: URL, ana: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del served  # its database is set up
    for name, value in (
        ("DATABASE_URL", module_database_url.render_as_string(hide_password=False)),
        ("PRESSROOM_RUN_AS", "user"),
        ("PRESSROOM_USERS_ROOT", str(homes)),
    ):
        monkeypatch.setenv(name, value)
    of_root = write_notebook(homes.parent / "systems-own" / "secret.ipynb", "1")
    of_root.chmod(0o600)
    link = home_of(ana) / "typed" / "link.ipynb"
    path = give(write_notebook(link.with_name("typed.ipynb"), "import os\nprint(os.getresuid())"), ana)
    link.symlink_to(of_root)
    done = CliRunner().invoke(app, ["run", str(path), "--json"])
    assert done.exit_code == 0, done.output
    output = Path(json.loads(done.stdout)["output_path"])
    uid = pwd.getpwnam(ana).pw_uid
    assert str((uid, uid, uid)) in output.read_text()
    assert owned(output)[0] == uid
    for words in (
        ["run", str(of_root)],
        ["run", str(link)],
        ["notebooks", "add", str(of_root), "--user", ana],
        ["notebooks", "add", str(link), "--user", ana],
    ):
        refused = CliRunner().invoke(app, words)
        assert refused.exit_code == 2, refused.output
    added = CliRunner().invoke(app, ["notebooks", "add", str(path), "--user", ana])
    assert added.exit_code == 0, added.output


def ended(http: httpx.Client, execution_id: int) -> dict[str, Any]:
    with http.stream("GET", f"/db/executions/{execution_id}/events") as events:
        for _ in events.iter_lines():
            pass
    return http.get(f"/db/executions/{execution_id}").json()


def test_root_is_needed(monkeypatch: pytest.MonkeyPatch, database_url: URL) -> None:
    monkeypatch.setattr("pressroom.press.account.os.geteuid", lambda: 1000)
    with pytest.raises(Invalid, match="does not run as root"):
        Places.of(Settings(run_as="user"))
    monkeypatch.setenv("PRESSROOM_RUN_AS", "user")
    monkeypatch.setenv("DATABASE_URL", database_url.render_as_string(hide_password=False))
    for words in (["serve", "--port", "0"], ["worker"]):
        said = CliRunner().invoke(app, words)
        assert said.exit_code == 2, said.output
        assert "needs root: it does not run as root" in " ".join(said.output.split())


def test_callers_must_be_known(monkeypatch: pytest.MonkeyPatch, database_url: URL) -> None:
    monkeypatch.setenv("PRESSROOM_RUN_AS", "user")
    monkeypatch.setenv("DATABASE_URL", database_url.render_as_string(hide_password=False))
    said = CliRunner().invoke(app, ["serve", "--port", "0"])
    assert said.exit_code == 2
    assert "needs callers who are known" in " ".join(said.output.split())


def test_health_says_as_whom(served: httpx.Client) -> None:
    assert served.get("/health").json()["run_as"] == "user"


def test_rights_on_files_are_the_accounts_and_come_back(homes: Path, ana: str) -> None:
    secret = homes.parent / "secret"
    secret.write_text("s")
    secret.chmod(0o600)
    me, inside, elsewhere = account_named(ana), threading.Event(), []

    def others() -> None:
        inside.wait()
        elsewhere.append(secret.read_text())

    thread = threading.Thread(target=others)
    thread.start()
    with me.files():
        with pytest.raises(PermissionError):
            secret.read_text()
        with pytest.raises(PermissionError):
            Path(f"/proc/{os.getppid()}/environ").read_bytes()
        with pytest.raises(PermissionError):
            os.chown(home_of(ana), 0, 0)
        made = home_of(ana) / "made-here"
        made.touch()
        with me.files():
            assert made.stat().st_uid == me.uid
        inside.set()
        thread.join()
        other = Account("x", me.uid + 1, me.gid, (), "/", "/bin/sh", 0o22)
        with pytest.raises(RuntimeError, match="acts as"), other.files():
            pass
    assert elsewhere == ["s"]
    assert secret.read_text() == "s"


async def test_no_event_loop_acts_as_an_account(ana: str) -> None:
    with pytest.raises(RuntimeError, match="in a thread of their own"), account_named(ana).files():
        pass
