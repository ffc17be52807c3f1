"""The fork servers: what they load, what they refuse, when they begin anew, and that they end with their owner."""

import asyncio
import itertools
import json
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from pressroom.press import Event, Finished, Output, Press, Request, server
from pressroom.press.environment import kernel_environment
from pressroom.press.servers import Servers

ENVIRONMENT = kernel_environment(os.environ)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where libraries of a test's own lie."""
    made = tmp_path / "libraries"
    made.mkdir()
    return made


@pytest.fixture
async def opened() -> AsyncIterator[list[Press]]:
    made: list[Press] = []
    yield made
    for press in made:
        await press.close()


def environment(folder: Path, **variables: str) -> dict[str, str]:
    return ENVIRONMENT | {"PYTHONPATH": str(folder)} | variables


async def run(press: Press, folder: Path, *sources: str, **options: Any) -> tuple[Finished, str]:
    path = pytest.write_notebook(folder / "in.ipynb", *sources)  # type: ignore[attr-defined]
    events: list[Event] = [e async for e in press.execute(Request(path, folder / "out.ipynb", {}, **options))]
    assert isinstance(events[-1], Finished)
    return events[-1], "".join(e.text for e in events if isinstance(e, Output) and e.stream == "stdout")


async def report(press: Press) -> Any:
    return next(each for each in await press.reports() if each.name == "python3")


async def test_libraries_are_loaded_ahead_and_it_is_told_which(
    tmp_path: Path, folder: Path, opened: list[Press]
) -> None:
    folder.joinpath("heavy.py").write_text("import os\nloaded_by = os.getpid()\n")
    opened.append(press := Press(environment(folder), preload=["heavy", "json"]))
    _, text = await run(press, tmp_path, "import os, heavy; print(heavy.loaded_by == os.getpid())")
    assert text == "False\n"
    told = await report(press)
    assert (told.forked, told.why_not, told.preloaded, told.refused) == (True, None, ("heavy", "json"), {})
    assert told.forks == 1
    assert told.memory_bytes > 2**20


async def test_libraries_that_cannot_be_forked_are_refused_with_the_reason(
    tmp_path: Path, folder: Path, opened: list[Press]
) -> None:
    folder.joinpath("threaded.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True, name='pool').start()\n"
    )
    folder.joinpath("broken.py").write_text("raise RuntimeError('no licence')\n")
    folder.joinpath("fine.py").write_text("")
    names = ["threaded", "broken", "missing_library", "tensorflow", "fine"]
    opened.append(press := Press(environment(folder), preload=names))
    finished, text = await run(press, tmp_path, "import threading; print(threading.active_count() < 4)")
    assert (finished.reason, text) == (None, "True\n")
    told = await report(press)
    assert told.preloaded == ("fine",)
    assert told.refused["threaded"].startswith("it starts threads that do not survive a fork")
    assert told.refused["broken"] == "it cannot be imported: RuntimeError: no licence"
    assert "No module named 'missing_library'" in told.refused["missing_library"]
    assert told.refused["tensorflow"] == "its threads do not survive a fork"


async def test_a_library_that_brings_the_process_down_is_refused_and_the_others_are_loaded(
    tmp_path: Path, folder: Path, opened: list[Press]
) -> None:
    folder.joinpath("crashing.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    folder.joinpath("ending.py").write_text("import os\nos._exit(3)\n")
    opened.append(press := Press(environment(folder), preload=["crashing", "json", "ending"]))
    assert (await run(press, tmp_path, "1"))[0].reason is None
    told = await report(press)
    assert (told.forked, told.preloaded) == (True, ("json",))
    ended = "it cannot be loaded ahead: the process ended while it was imported"
    assert told.refused == {"crashing": ended, "ending": ended}


async def test_a_library_that_hangs_is_refused_and_the_others_are_loaded(
    tmp_path: Path, folder: Path, opened: list[Press], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.joinpath("hanging.py").write_text("import threading\nthreading.Event().wait()\n")
    opened.append(press := Press(environment(folder), preload=["hanging", "json"]))
    await asyncio.to_thread(press.servers.runners, press.environment, "pressroom.press.runner:main")
    monkeypatch.setattr(server, "READY_SECONDS", 8.0)
    assert (await run(press, tmp_path, "1"))[0].reason is None
    told = await report(press)
    assert (told.forked, told.preloaded) == (True, ("json",))
    assert told.refused == {"hanging": "it cannot be loaded ahead: it took longer than 8 s while it was imported"}


def processes(press: Press, name: str) -> set[int]:
    """Those of a press's processes that have a name."""
    below = [p for pid in press.servers.pids() for p in psutil.Process(pid).children(recursive=True)]
    return {p.pid for p in below if p.name() == name}


async def waiting(press: Press) -> set[int]:
    """The processes that wait for a request, as soon as a kernel and a runner do and no other is at work."""
    async with asyncio.timeout(30):
        while True:
            found = processes(press, "pressroom-wait")
            if len(found) >= 2 and not processes(press, "pressroom-keep"):
                return found
            await asyncio.sleep(0.05)


async def test_what_holds_nothing_of_a_notebook_serves_again_and_a_kernel_never_does(
    tmp_path: Path, opened: list[Press]
) -> None:
    opened.append(press := Press(ENVIRONMENT, preload=[]))
    for _ in range(3):
        await run(press, tmp_path, "1")
    await waiting(press)
    keepers, kernels = processes(press, "pressroom-idle"), set[str]()
    for _ in range(6):
        kernels.add((await run(press, tmp_path, "import os; print(os.getpid())"))[1])
    await waiting(press)
    assert len(kernels) == 6
    assert processes(press, "pressroom-idle") == keepers


async def test_what_is_killed_while_it_waits_is_replaced(tmp_path: Path, opened: list[Press]) -> None:
    opened.append(press := Press(ENVIRONMENT, preload=[]))
    await run(press, tmp_path, "1")
    for name in ("pressroom-wait", "pressroom-idle"):
        await waiting(press)
        killed = [psutil.Process(pid) for pid in processes(press, name)]
        for process in killed:
            process.kill()
        _, alive = await asyncio.to_thread(psutil.wait_procs, killed, 30)
        assert not alive
        for _ in range(4):
            finished, _ = await run(press, tmp_path, "1")
            assert finished.reason is None, finished


async def test_a_runner_that_has_grown_serves_no_more(tmp_path: Path, opened: list[Press]) -> None:
    opened.append(press := Press(ENVIRONMENT, preload=[]))
    await run(press, tmp_path, "1")
    before = await waiting(press)
    [runners] = [
        {p.pid for p in psutil.Process(pid).children(recursive=True)} & before
        for pid in press.servers.pids()
        if "pressroom.press.runner" in " ".join(psutil.Process(pid).cmdline())
    ]
    for _ in range(len(runners)):
        finished, _ = await run(press, tmp_path, "for _ in range(90): print('x' * 1_000_000)")
        assert (finished.reason, finished.cut_bytes) == (None, 0)
    assert runners - await waiting(press)


async def test_a_users_startup_files_are_executed_once_for_each_kernel(
    tmp_path: Path, folder: Path, opened: list[Press]
) -> None:
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    ledger = tmp_path / "ledger"
    startup.joinpath("00.py").write_text(f"open({str(ledger)!r}, 'a').write('once ')\n")
    opened.append(press := Press(environment(folder, IPYTHONDIR=str(folder / "ipython")), preload=[]))
    for _ in range(2):
        assert (await run(press, tmp_path, "1"))[0].reason is None
    await waiting(press)
    assert ledger.read_text() == "once once "


async def test_a_server_grows_no_larger_than_it_may(tmp_path: Path, folder: Path, opened: list[Press]) -> None:
    folder.joinpath("huge.py").write_text("held = b'x' * (300 * 2**20)\n")
    folder.joinpath("small.py").write_text("")
    opened.append(press := Press(environment(folder), preload=["huge", "small"], server_memory_mb=200))
    assert (await run(press, tmp_path, "1"))[0].reason is None
    told = await report(press)
    assert told.preloaded == ("small",)
    assert told.refused == {"huge": "with it, the fork server would be larger than 200 MiB"}


async def test_a_package_that_is_changed_is_the_new_one_in_the_next_execution(
    tmp_path: Path, folder: Path, opened: list[Press]
) -> None:
    module = folder / "version.py"
    module.write_text("number = 1\n")
    opened.append(press := Press(environment(folder), preload=["version"]))
    assert (await run(press, tmp_path, "import version; print(version.number)"))[1] == "1\n"
    module.write_text("number = 22\n")
    assert (await run(press, tmp_path, "import version; print(version.number)"))[1] == "22\n"
    folder.joinpath("added.py").write_text("")
    before = set(press.servers.pids())
    assert (await run(press, tmp_path, "import added"))[0].reason is None
    assert len(before - set(press.servers.pids())) == 1, "the kernels' server, and not the runners'"
    assert (await report(press)).forks == 3


async def test_what_is_written_beside_the_libraries_starts_no_server_anew(
    tmp_path: Path, folder: Path, opened: list[Press]
) -> None:
    opened.append(press := Press(environment(folder), preload=[]))
    await run(press, folder, "1")
    before = press.servers.pids()
    for name in ("a.csv", "b.ipynb"):
        assert (await run(press, folder, f"open({name!r}, 'w').close()"))[0].reason is None
    await run(press, folder, "1")
    assert press.servers.pids() == before
    folder.joinpath("package").mkdir()
    folder.joinpath("package", "__init__.py").write_text("")
    await run(press, folder, "import package")
    assert press.servers.pids() != before


async def test_other_libraries_can_be_loaded_ahead_later_while_executions_go_on(
    tmp_path: Path, folder: Path, opened: list[Press]
) -> None:
    folder.joinpath("late.py").write_text("import os\nloaded_by = os.getpid()\n")
    opened.append(press := Press(environment(folder), preload=[]))
    source = "import os, late; print(late.loaded_by == os.getpid())"
    assert (await run(press, tmp_path, source))[1] == "True\n"
    press.preload(["late"])
    async with asyncio.timeout(60):
        while (await run(press, tmp_path, source))[1] != "False\n":
            pass
    assert (await report(press)).preloaded == ("late",)


async def test_a_server_that_is_killed_is_replaced_and_what_it_forked_goes_on(
    tmp_path: Path, opened: list[Press]
) -> None:
    opened.append(press := Press(ENVIRONMENT, preload=[]))
    killed = False
    source = "print('ready', flush=True)\nimport time; time.sleep(2)\nprint('done')"
    path = pytest.write_notebook(tmp_path / "in.ipynb", source)  # type: ignore[attr-defined]
    events: list[Event] = []
    async for event in press.execute(Request(path, tmp_path / "out.ipynb", {})):
        events.append(event)
        if isinstance(event, Output) and not killed:
            killed = True
            for pid in press.servers.pids():
                psutil.Process(pid).kill()
    assert isinstance(events[-1], Finished)
    assert events[-1].reason is None
    assert (await run(press, tmp_path, "print(2)"))[1] == "2\n"


def test_a_server_ends_with_its_owner_however_that_ends(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from pressroom.press import Press, Request\n"
        "async def main():\n"
        "    press = Press(dict(os.environ), preload=[])\n"
        "    folder = Path.cwd()\n"
        "    async for _ in press.execute(Request(folder / 'in.ipynb', folder / 'out.ipynb', {})): pass\n"
        "    print(*press.servers.pids(), flush=True)\n"
        "    sys.stdin.read()\n"
        "asyncio.run(main())\n"
    )
    pytest.write_notebook(tmp_path / "in.ipynb", "1")  # type: ignore[attr-defined]
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        servers = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        assert len(servers) == 2
        below = [child for server in servers for child in server.children(recursive=True)]
        assert below, "kernels that wait"
        process.kill()
    _, alive = psutil.wait_procs([*servers, *below], timeout=30)
    assert alive == []


async def test_the_environment_of_a_spec_and_its_startup_files_are_as_with_the_stock_launcher(
    tmp_path: Path, opened: list[Press]
) -> None:
    home = tmp_path / "ipython"
    (home / "profile_default" / "startup").mkdir(parents=True)
    (home / "profile_default" / "startup" / "00-first.py").write_text(
        "greeting = 'from the startup file'\nprint('x')\n"
    )
    (home / "profile_default" / "ipython_config.py").write_text("c.InteractiveShell.ast_node_interactivity = 'all'\n")
    specs = tmp_path / "jupyter" / "kernels" / "own"
    specs.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {
        "argv": argv,
        "display_name": "Own",
        "language": "python",
        "env": {"OWN": "${TZ}!"},
        "interrupt_mode": "message",
    }
    specs.joinpath("kernel.json").write_text(json.dumps(spec))
    variables = {"IPYTHONDIR": str(home), "JUPYTER_PATH": str(tmp_path / "jupyter"), "TZ": "Asia/Tokyo"}
    source = "import os, time\ngreeting\nos.environ['OWN']\ntime.tzname[0]\nos.getcwd()"
    outputs = []
    for fork in (True, False):
        opened.append(press := Press(ENVIRONMENT | variables, preload=[], fork=fork))
        finished, text = await run(press, tmp_path, source, kernel_name="own")
        assert (finished.reason, text) == (None, "")
        written = nbformat.read(tmp_path / "out.ipynb", as_version=4)
        outputs.append([output.data["text/plain"] for output in written.cells[0].outputs])
    assert outputs[0] == outputs[1]
    assert outputs[0] == ["'from the startup file'", "'Asia/Tokyo!'", "'JST'", repr(str(tmp_path))]


async def test_a_spec_whose_interpreter_has_no_ipykernel_says_so_once(
    tmp_path: Path, opened: list[Press], caplog: pytest.LogCaptureFixture
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    specs = tmp_path / "jupyter" / "kernels" / "bare"
    specs.mkdir(parents=True)
    argv = [str(tmp_path / "bare" / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specs.joinpath("kernel.json").write_text(json.dumps({"argv": argv, "display_name": "b", "language": "python"}))
    opened.append(press := Press(ENVIRONMENT | {"JUPYTER_PATH": str(tmp_path / "jupyter")}, preload=[]))
    caplog.set_level("INFO", "pressroom.press")
    for _ in range(2):
        finished, _ = await run(press, tmp_path, "1", kernel_name="bare")
        assert finished.message.startswith("Kernel 'bare' did not start:"), "neither way can it be had"
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "ModuleNotFoundError: No module named 'ipykernel'" in told[0]


async def test_many_executions_at_once_share_the_servers(tmp_path: Path, opened: list[Press]) -> None:
    opened.append(press := Press(ENVIRONMENT, preload=[]))
    path = pytest.write_notebook(tmp_path / "in.ipynb", parameters="n = 0")  # type: ignore[attr-defined]
    path = pytest.write_notebook(tmp_path / "in.ipynb", "print(n * 2)", parameters="n = 0")  # type: ignore[attr-defined]

    async def one(n: int) -> str:
        events = [e async for e in press.execute(Request(path, tmp_path / f"out{n}.ipynb", {"n": n}))]
        assert isinstance(events[-1], Finished)
        assert events[-1].reason is None
        return "".join(e.text for e in events if isinstance(e, Output))

    assert await asyncio.gather(*[one(n) for n in range(16)]) == [f"{2 * n}\n" for n in range(16)]
    assert len(press.servers.pids()) == 2


async def test_servers_that_were_not_used_for_longest_make_room(tmp_path: Path) -> None:
    from pressroom.press.launch import Launch
    from pressroom.press.servers import MOST_SERVERS

    servers, launches = Servers(), list[Launch]()
    argv = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}")
    try:
        for number in range(MOST_SERVERS + 2):
            launch = Launch("python3", argv, ENVIRONMENT | {"MPLCONFIGDIR": f"/tmp/{number}"}, "python")
            launches.append(launch)
            await asyncio.to_thread(servers.kernels, launch)
            assert (first := servers.ready_kernels(launches[0])) is not None, "it was used a moment ago"
        assert len(servers.pids()) == MOST_SERVERS
        assert first.pid in servers.pids()
    finally:
        servers.close()


async def test_a_press_that_was_closed_says_so(tmp_path: Path) -> None:
    press = Press(ENVIRONMENT, preload=[])
    await press.close()
    finished, _ = await run(press, tmp_path, "1")
    assert finished.message == "The execution could not be started: the press was closed."


def test_a_folder_that_cannot_be_looked_into_holds_no_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("module.py").touch()
    tmp_path.joinpath("package").mkdir()
    tmp_path.joinpath("package", "__init__.py").touch()
    assert server._modules(str(tmp_path)) == {"module.py", "package"}
    real = os.stat

    def closed(path: Any, *args: Any, **options: Any) -> os.stat_result:
        if "package/" in str(path):
            raise PermissionError(path)
        return real(path, *args, **options)

    monkeypatch.setattr(os, "stat", closed)  # root may enter every folder
    assert server._modules(str(tmp_path)) == {"module.py"}
    assert server._modules(str(tmp_path / "missing")) == frozenset()


async def test_nothing_stays_open_where_no_more_files_can_be_opened(tmp_path: Path, opened: list[Press]) -> None:
    opened.append(press := Press(ENVIRONMENT, preload=[]))
    await run(press, tmp_path, "1")
    await run(press, tmp_path, "1")
    files, limits = set(os.listdir("/proc/self/fd")), resource.getrlimit(resource.RLIMIT_NOFILE)
    failed = 0
    for more in range(1, 24):
        path = pytest.write_notebook(tmp_path / "in.ipynb", "1")  # type: ignore[attr-defined]
        request = Request(path, tmp_path / "out.ipynb", {})
        free = (number for number in itertools.count() if str(number) not in files)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, more, None)), limits[1]))
        try:
            *_, last = [event async for event in press.execute(request)]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert isinstance(last, Finished)
        failed += last.reason is not None
        assert set(os.listdir("/proc/self/fd")) <= files, last
    assert 5 < failed < 23, "the limit was met in different places, and at last not at all"
