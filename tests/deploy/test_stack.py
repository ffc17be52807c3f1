"""What an administrator takes home: the images and the stack, really built and really run.

The tests stand in the order of a stack's life. What is measured is printed at the end, and told in
docs/reference/containers.md and the README.
"""

import json
import os
import re
import time
from pathlib import Path

import pytest
from people import Person
from playwright.sync_api import Browser, expect
from stack import API, HUB, ROOT, TAG, Stack, commands, example, run, stand_ins

FIRST = f"""
import os
{example().replace("print(done.status, done.output_path)", "").rstrip()}
    [output] = nbformat.read(done.output_path, 4).cells[-1].outputs
    history = [execution.id for execution in client.executions()]
    print(sales.id, done.id, done.status, history[0], os.getuid(), *output.text.split())
"""
AFTER_THE_CLONE = r"\d+ commands and \d+ minutes"
KNOWN = """
with pressroom.Client() as client:
    print(client.notebook({notebook}).id, client.execution({execution}).id, client.execution({execution}).status)
"""
LOOK = """
import pressroom
from pressroom import errors
with pressroom.Client() as client:
    print([notebook.name for notebook in client.notebooks()], [execution.id for execution in client.executions()])
    for wanted in (client.notebook, client.execution):
        try:
            print(wanted({id}))
        except errors.PressroomError as error:
            print(error.status)
"""
SLOW = """
import nbformat, pathlib, pressroom
path = pathlib.Path.home() / "slow.ipynb"
nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import time; time.sleep({seconds})")]), path)
with pressroom.Client() as client:
    print(*client.submit_many([{{"input_path": str(path)}}] * {number}))
"""
EVERYTHING = """
import pressroom
with pressroom.Client() as client:
    print(*sorted(notebook.name for notebook in client.notebooks()), *(done.id for done in client.executions()))
"""


def _into(folder: Path, line: str) -> str:
    """A command of the page with another folder for the copy."""
    return re.sub(r'"/var/[^"]+"', str(folder), line)


def states(stack: Stack, ids: list[str]) -> dict[str, int]:
    rows = stack.sql(f"SELECT status, count(*) FROM notebook_executions WHERE id IN ({','.join(ids)}) GROUP BY 1")
    return {status: int(number) for status, number in rows}


def until(stack: Stack, ids: list[str], status: str, number: int, seconds: float) -> None:
    """Wait until so many of some executions have a status."""
    end = time.monotonic() + seconds
    while (found := states(stack, ids)).get(status, 0) < number:
        assert time.monotonic() < end, f"{found} after {seconds} s"
        time.sleep(1)


def test_the_stack_of_the_version_before_is_upgraded_by_the_pages_commands(stack: Stack, ana: Person) -> None:
    ran = ana.run(FIRST.replace('"sales', '"before')).split()
    assert ran[2] == "success"
    copy, *rest = commands("## Upgrade")
    # By the new version's images: the one before has no command for it.
    stack.shell(_into(stack.folder / "before-the-upgrade", copy))
    assert stack.sql("SELECT version_num FROM alembic_version") == [[stack.old]]
    ids = " ".join(ran[:2])
    for line in rest:
        stack.shell(line)
    [[now]] = stack.sql("SELECT version_num FROM alembic_version")
    assert (now, stack.old < now) == (stack.newest, True)
    ana.come_back()
    assert ana.run("import pressroom\n" + KNOWN.format(notebook=ran[0], execution=ran[1])) == f"{ids} success\n"


def test_the_worker_without_the_libraries_of_data_science_is_small(stack: Stack) -> None:
    env = {"STACK_KERNELS": "plain", "STACK_TAG": "plain"}
    stack.compose("build", "--quiet", "migrate", env=env)
    size = int(run("docker", "image", "inspect", "pressroom-worker:plain", "--format", "{{.Size}}"))
    assert size < 400e6
    stack.seconds["size plain"] = size / 1e6


def test_an_image_says_what_it_is_and_what_is_in_it(stack: Stack) -> None:
    labels = json.loads(
        run("docker", "image", "inspect", f"pressroom-worker:{TAG}", "--format", "{{json .Config.Labels}}")
    )
    assert labels["org.opencontainers.image.title"] == "Pressroom"
    assert labels["org.opencontainers.image.revision"] == "tests"
    listed = (
        "import json, re; from importlib.metadata import distributions as all\n"
        "print(json.dumps({re.sub('[-_.]+', '-', each.name).lower(): each.version for each in all()}))"
    )
    for image, python, bom in (
        (f"pressroom-worker:{TAG}", "/opt/pressroom", "pressroom"),
        (f"pressroom-worker:{TAG}", "/opt/kernels/python", "kernels"),
        (f"pressroom-hub:{TAG}", "/opt/hub", "hub"),
    ):
        inside = ["docker", "run", "--rm", "--entrypoint"]
        installed = json.loads(run(*inside, f"{python}/bin/python", image, "-c", listed))
        told = json.loads(run(*inside, "cat", image, f"/usr/share/doc/pressroom/{bom}.cdx.json"))
        assert told["bomFormat"] == "CycloneDX"
        named = {part["name"]: part.get("version") for part in told["components"]}
        assert {name: named.get(name) for name in installed.keys() - {"pressroom"}} == {
            name: version for name, version in installed.items() if name != "pressroom"
        }, bom


def test_the_workers_can_change_nothing_of_their_own_and_have_few_rights(stack: Stack) -> None:
    [worker] = stack.containers("worker")
    code = (
        "import os, pathlib\n"
        "for path in ('/opt/pressroom/x', '/etc/x', '/var/lib/extrausers/x', '/usr/x'):\n"
        "    try: pathlib.Path(path).touch()\n"
        "    except OSError as error: print(error.strerror)\n"
        "print([line.split()[1] for line in open('/proc/1/status') if line.startswith('CapEff')])"
    )
    told = run("docker", "exec", worker, "/opt/pressroom/bin/python", "-c", code).splitlines()
    assert told == ["Read-only file system"] * 4 + ["['00000000000000e1']"], "CHOWN, KILL, SETGID, SETUID"
    user = run("docker", "image", "inspect", f"pressroom-worker:{TAG}", "--format", "{{.Config.User}}").strip()
    assert user == "pressroom"


def test_nothing_starts_without_its_secrets(stack: Stack) -> None:
    with pytest.raises(RuntimeError, match=r"run deploy/make_env\.sh"):
        stack.compose("--env-file", "/dev/null", "config")


def test_somebody_registers_a_notebook_in_her_own_and_executes_it(stack: Stack, ana: Person) -> None:
    with stack.timed("first execution"):
        notebook, execution, status, newest, uid, region, user, ran_as = ana.run(FIRST).split()
    assert (status, newest, region, user) == ("success", execution, "APAC", "ana")
    assert ran_as == uid != "0", "it ran as her, in another container"
    ana.notebook, ana.execution = notebook, execution


def test_somebody_else_does_not_see_it(ana: Person, ben: Person) -> None:
    for known in (ana.notebook, ana.execution):
        assert ben.run(LOOK.format(id=known)).split("\n")[:3] == ["[] []", "404", "404"]
    with pytest.raises(Exception, match="PermissionError|FileNotFoundError"):
        ben.run("print(open('/home/ana/sales.ipynb').read())")


def test_an_administrator_is_one_and_nobody_else(chief: Person, ben: Person) -> None:
    for person, roles in ((chief, ["admin"]), (ben, [])):
        person.page.goto(f"{HUB}/services/pressroom/login?by=jupyterhub&next=/session")
        told = json.loads(person.page.locator("body").inner_text())
        assert (told["username"], told["roles"]) == (person.name, roles)


def test_the_pages_commands_of_every_day_say_who_works_and_what_is_wrong(stack: Stack) -> None:
    who, doctor, *_ = commands("## Every day")
    [[name]] = stack.sql("SELECT name FROM workers JOIN procrastinate_workers USING (id)")
    assert name in stack.shell(who)
    doctor = f"{doctor.partition('#')[0].rstrip()} --json"
    for where in ("jhub", "worker"):
        found = json.loads(stack.shell(doctor.replace("jhub", where)))["findings"]
        assert [each for each in found if each["state"] == "wrong"] == [], where
        assert any("knows this service" in each["says"] for each in found) == (where == "jhub")


def test_a_hub_that_was_killed_comes_back_and_mistakes_no_process_for_a_server(
    stack: Stack, ana: Person, ben: Person
) -> None:
    [hub] = stack.containers("jhub")
    run("docker", "kill", hub)
    stack.compose("up", "--detach", "--wait")
    for person in (ben, ana):
        person.come_back()
        assert person.run("print(6 * 7)") == "42\n"


def test_what_a_killed_worker_ran_is_run_by_the_others(stack: Stack, ana: Person) -> None:
    with (stack.folder / "deploy" / ".env").open("a") as written:
        written.write("STACK_WORKERS=3\n")
    stack.compose("up", "--detach", "--wait")
    workers = stack.containers("worker")
    assert len(workers) == 3
    places = int(stack.sql("SELECT sum(concurrency) FROM workers JOIN procrastinate_workers USING (id)")[0][0])
    ids = ana.run(SLOW.format(seconds=8, number=places + 2)).split()
    until(stack, ids, "running", places, 60)
    run("docker", "kill", workers[1])
    until(stack, ids, "success", len(ids), 180)
    [[again]] = stack.sql(f"SELECT count(*) FROM notebook_executions WHERE attempt > 1 AND id IN ({','.join(ids)})")
    assert int(again) >= 1


def test_a_stack_that_is_stopped_and_started_has_lost_nothing(stack: Stack, ana: Person, browser: Browser) -> None:
    ids = ana.run(SLOW.format(seconds=3, number=20)).split()
    before = ana.run(EVERYTHING)
    with stack.timed("stop"):
        stack.compose("stop")
    with stack.timed("start again"):
        stack.compose("up", "--detach", "--wait")
    until(stack, ids, "success", len(ids), 180)
    again = Person.at(browser, "ana", ana.password)
    again.sign_in()
    assert again.run(EVERYTHING) == before
    assert again.run("print(open('sales.ipynb').read(1))") == "{\n"


def _rows(stack: Stack) -> dict[str, str]:
    """What was measured, by what it is."""
    took = {
        "images": "the images `worker` and `hub`, built",
        "start": "Keycloak, PostgreSQL, the Hub with Pressroom and a worker, from nothing to healthy",
        "a user": "`add_user.sh`",
        "sign-in": "a first sign-in, with a new password, to JupyterLab",
        "first execution": "the page's example: a notebook registered, executed and read",
        "stop": "the stack stopped",
        "start again": "and started again, with three workers",
    }
    rows = {says: f"{stack.seconds[name]:.0f} s" for name, says in took.items()}
    rows["`worker` without the libraries of data science"] = f"{stack.seconds['size plain']:.0f} MB"
    for image in ("worker", "hub"):
        size = int(run("docker", "image", "inspect", f"pressroom-{image}:{TAG}", "--format", "{{.Size}}"))
        rows[f"`{image}`"] = f"{size / 1e6:.0f} MB"
    for service in ("postgres", "keycloak", "jhub", "worker"):
        stats = ["docker", "stats", "--no-stream", "--format", "{{.MemUsage}}"]
        used = [run(*stats, container).split(" / ")[0] for container in stack.containers(service)]
        rows[f"memory of `{service}`"] = ", ".join(used)
    return rows


def test_what_was_measured_is_told(stack: Stack, ana: Person, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the stack at rest, with the servers of three users. ``PRESSROOM_UPDATE_SNAPSHOT`` writes it into the pages."""
    rows = _rows(stack)
    whole = ("images", "start", "a user", "sign-in", "first execution")
    steps = f"{len(commands())} commands and {sum(stack.seconds[name] for name in whole) / 60:.0f} minutes"
    table = "\n".join(["| what | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])
    instead = f"Images that stood in for those of others: {', '.join(f'`{name}`' for name in stand_ins()) or 'none'}."
    with capsys.disabled():
        print(f"\n{table}\n{steps}\n{instead}")
    readme, page = ROOT / "README.md", ROOT / "docs" / "reference" / "containers.md"
    if os.environ.get("PRESSROOM_UPDATE_SNAPSHOT"):
        readme.write_text(re.sub(AFTER_THE_CLONE, steps, readme.read_text()))
        before, _, rest = page.read_text().partition("<!-- measured -->")
        after = rest.partition("<!-- end -->")[2]
        page.write_text(f"{before}<!-- measured -->\n{table}\n\n{instead}\n<!-- end -->{after}")
    [said] = re.findall(AFTER_THE_CLONE, readme.read_text())
    assert said.split(" and ")[0] == steps.split(" and ", maxsplit=1)[0]
    assert re.findall(r"^\| (.*?) \| [\d<].* \|$", page.read_text(), re.MULTILINE) == list(rows)
    health = json.loads(run("curl", "-sf", f"{API}/health"))
    assert (health["status"], health["run_as"]) == ("healthy", "user")


def test_whoever_is_disabled_at_keycloak_gets_no_new_server(stack: Stack, ben: Person) -> None:
    ben.come_back()
    [number] = stack.keycloak(
        "get", "users", "-q", "username=ben", "--fields", "id", "--format", "csv", "--noquotes"
    ).split()
    stack.keycloak("update", f"users/{number}", "--set", "enabled=false")
    ben.page.goto(f"{HUB}/hub/home")
    ben.page.locator("#stop").click()
    expect(ben.page.locator("#stop")).to_be_hidden(timeout=60_000)
    ben.page.goto(f"{HUB}/hub/spawn/ben")
    expect(ben.page.locator("body")).to_contain_text("auth has expired for ben, login again")
    [hub] = stack.containers("jhub")
    assert "jupyterhub-singleuser" in (running := run("docker", "top", hub, "-eo", "pid,uid,args"))
    uid = run("docker", "exec", hub, "stat", "--format", "%u", "/home/ben").strip()
    assert [line for line in running.splitlines() if line.split()[1] == uid] == []


def test_a_copy_is_put_back_into_an_empty_stack(stack: Stack, ana: Person, browser: Browser) -> None:
    known = Person.at(browser, "ana", ana.password)
    known.sign_in()
    before = known.run(EVERYTHING)
    folder = stack.folder / "copy"
    [make] = commands("## Back up and restore")
    stack.shell(_into(folder, make))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {each.name for each in folder.iterdir()} == {"env", "keycloak.dump", "pressroom.tar", "volumes.tar"}
    stack.compose("down", "--volumes")
    (stack.folder / "deploy" / ".env").unlink()
    put_back, start = commands("On another machine")
    stack.shell(_into(folder, put_back))
    stack.shell(start)
    again = Person.at(browser, "ana", ana.password)
    again.sign_in()
    assert again.run(EVERYTHING) == before
    assert again.run("print(open('sales.ipynb').read(1))") == "{\n"
