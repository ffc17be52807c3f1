"""No state passes from one execution to the next, nor from the service to a kernel."""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from presses import execute, opened, stock, succeeded
from pressroom.press import Reason
from pressroom.press.environment import kernel_environment

PRELOAD = ("numpy", "pandas", "matplotlib.pyplot", "json", "decimal", "locale", "warnings")
PROBE = """
import builtins, decimal, gc, json, locale, os, resource, signal, socket, sys, tempfile, threading, time, warnings
import matplotlib, numpy, pandas
def handler(number):
    found = signal.getsignal(number)
    return getattr(found, "__qualname__", str(found))
def descriptors():
    return [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
print(json.dumps({
    "environment": {k: v for k, v in os.environ.items() if "PID" not in k},
    "cwd": os.getcwd(),
    "umask": umask(),
    "handlers": {s.name: handler(s) for s in signal.Signals},
    "blocked signals": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "timers": [signal.getitimer(signal.ITIMER_REAL), signal.getitimer(signal.ITIMER_PROF)],
    "files": sorted(path for path in descriptors() if path.startswith("/tmp/opened-")),
    "sys.path": sys.path,
    "meta path": len(sys.meta_path),
    "builtins": sorted(set(dir(builtins)) - {"_"}),
    "names": sorted(n for n in globals() if not n.startswith("_")),
    "a builtin": ascii("four"),
    "patched": [hasattr(patched, "stain") for patched in (json, numpy, os, pandas.DataFrame)],
    "loaded": "wave" in sys.modules,
    "limits": [resource.getrlimit(r) for r in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_STACK)],
    "nice": os.nice(0),
    "threads": sorted(t.name for t in threading.enumerate() if t.name.startswith("stain")),
    "recursion": sys.getrecursionlimit(),
    "switch interval": sys.getswitchinterval(),
    "hooks": [sys.excepthook.__module__, type(sys.displayhook).__name__, threading.excepthook.__name__],
    "filters": len(warnings.filters),
    "decimal": decimal.getcontext().prec,
    "locale": locale.setlocale(locale.LC_ALL),
    "gc": [gc.isenabled(), gc.get_threshold()],
    "socket": socket.getdefaulttimeout(),
    "time zone": time.tzname,
    "temporary folder": tempfile.gettempdir(),
    "numpy": numpy.get_printoptions()["precision"],
    "pandas": pandas.get_option("display.max_rows"),
    "matplotlib": [matplotlib.rcParams["figure.dpi"], matplotlib.get_backend()],
    "history": [len(get_ipython().user_ns["In"]), get_ipython().execution_count, list(get_ipython().user_ns["Out"])],
    "extensions": sorted(get_ipython().extension_manager.loaded),
    "magics": "stain" in get_ipython().magics_manager.magics["line"],
    "session": os.getsid(0) == os.getpid() or os.getsid(0),
}, default=str))
"""
STAIN = """
import atexit, builtins, decimal, gc, json, locale, os, resource, signal, socket, sys, threading, time, warnings
import tempfile, wave
import matplotlib, numpy, pandas
from IPython.core.magic import register_line_magic
os.environ["STAIN"] = "1"; os.environ["PATH"] = "/stain"; del os.environ["HOME"]
os.environ["TZ"] = "Pacific/Auckland"; time.tzset()
os.chdir("/"); os.umask(0o777)
signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGUSR1, lambda *_: None)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2}); signal.setitimer(signal.ITIMER_PROF, 3600)
kept = tempfile.NamedTemporaryFile(prefix="opened-", dir="/tmp"); os.dup2(kept.fileno(), 77, inheritable=True)
sys.path.insert(0, "/stain"); sys.meta_path.append(type("Stain", (), {"find_spec": staticmethod(lambda *_: None)}))
builtins.stain = 1; builtins.ascii = lambda _: "stained"; stain = 1
json.stain = numpy.stain = os.stain = pandas.DataFrame.stain = 1
resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512)); resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.nice(3)
threading.Thread(target=threading.Event().wait, name="stain", daemon=True).start()
sys.setrecursionlimit(2777); sys.setswitchinterval(0.1)
sys.excepthook = print; threading.excepthook = print
warnings.filterwarnings("ignore", "stain"); decimal.getcontext().prec = 3; locale.setlocale(locale.LC_ALL, "C")
gc.disable(); gc.set_threshold(500, 5, 5); socket.setdefaulttimeout(3)
tempfile.tempdir = "/stain"
numpy.set_printoptions(precision=2); pandas.set_option("display.max_rows", 3)
matplotlib.rcParams["figure.dpi"] = 33; matplotlib.use("svg")
register_line_magic("stain")(print)
get_ipython().run_line_magic("load_ext", "autoreload")
"""
DESCRIPTORS = """
import json, os
found = []
for name in sorted(os.listdir("/proc/self/fd"), key=int):
    try:
        found.append([int(name), os.readlink(f"/proc/self/fd/{name}"), list(os.stat(f"/proc/self/fd/{name}")[1:3])])
    except OSError:
        pass  # the listing's own
print(json.dumps(found))
"""


async def test_nothing_that_an_execution_changes_is_seen_by_the_next(tmp_path: Path) -> None:
    async with opened(preload=PRELOAD) as press:
        before = json.loads(succeeded(await execute(press, tmp_path, PROBE)).text())
        stained = json.loads(succeeded(await execute(press, tmp_path, STAIN, PROBE)).text())
        for _ in range(2):
            after = json.loads(succeeded(await execute(press, tmp_path, PROBE)).text())
            assert {name: after[name] for name in before} == before
    unchanged = {name for name in before if stained[name] == before[name]}
    assert unchanged <= {"session", "cwd", "locale"}, "each of the others was changed by the execution between"


async def test_an_execution_that_breaks_its_interpreter_does_not_harm_the_next(tmp_path: Path) -> None:
    harm = "import ctypes, sys\nsys.modules['json'] = None\nctypes.string_at(0)"
    async with opened(preload=PRELOAD) as press:
        assert (await execute(press, tmp_path, harm)).finished.reason is Reason.KERNEL_DIED
        assert succeeded(await execute(press, tmp_path, "print('whole')")).text() == "whole\n"


async def test_the_variables_of_one_request_are_not_those_of_the_next(tmp_path: Path) -> None:
    source = "import os; print(os.environ.get('GIVEN'))"
    async with opened(preload=PRELOAD) as press:
        given = await execute(press, tmp_path, source, environment={"GIVEN": "a"})
        assert succeeded(given).text() == "a\n"
        assert succeeded(await execute(press, tmp_path, source)).text() == "None\n"


async def test_each_execution_is_in_the_folder_of_its_own_input(tmp_path: Path) -> None:
    async with opened(preload=PRELOAD) as press:
        for name in ("a", "b"):
            folder = tmp_path / name
            folder.mkdir()
            told = json.loads(
                succeeded(await execute(press, folder, "import json, os; print(json.dumps(os.getcwd()))")).text()
            )
            assert Path(told).samefile(folder)


async def test_executions_at_once_do_not_meet(tmp_path: Path) -> None:
    source = "import builtins, os, tempfile\nprint(hasattr(builtins, 'met'), os.environ.get('MET'))\n"
    source += "builtins.met = os.environ['MET'] = '1'"
    async with opened(preload=PRELOAD) as press:

        async def once(folder: Path) -> str:
            folder.mkdir()
            return succeeded(await execute(press, folder, source)).text()

        told = await asyncio.gather(*(once(tmp_path / str(number)) for number in range(6)))
    assert told == ["False None\n"] * 6


def _files(found: list[Any]) -> set[str]:
    """The files that a kernel holds open, beside its standard streams; their names without what differs by kernel."""
    return {link for number, link, _ in found if number > 2 and link.startswith("/") and not link.startswith("/dev/")}


async def test_a_kernel_holds_no_file_pipe_or_socket_of_the_service(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.write_text("secret")
    early = os.open(private, os.O_RDONLY)
    listener = socket.create_server(("127.0.0.1", 0))
    pipe = os.pipe()
    ours = [early, listener.fileno(), *pipe]
    late = -1
    try:
        for descriptor in ours:
            os.set_inheritable(descriptor, True)
        async with opened(preload=PRELOAD) as press:
            # Where there is a fork server, it is up after the first.
            found = [json.loads(succeeded(await execute(press, tmp_path, DESCRIPTORS)).text())]
            late = os.open(private, os.O_RDONLY)
            os.set_inheritable(late, True)
            ours.append(late)
            found.append(json.loads(succeeded(await execute(press, tmp_path, DESCRIPTORS)).text()))
        foreign = {(status.st_ino, status.st_dev) for status in map(os.fstat, ours)}
    finally:
        listener.close()
        for descriptor in {early, *pipe, late} - {-1}:
            os.close(descriptor)
    for kernel in found:
        assert len(kernel) > 3
        assert [link for _, link, inode in kernel if tuple(inode) in foreign] == []


async def test_a_kernel_holds_no_file_that_a_stock_kernel_does_not(tmp_path: Path) -> None:
    async with opened(preload=PRELOAD) as press:
        await execute(press, tmp_path, "1")
        found = json.loads(succeeded(await execute(press, tmp_path, DESCRIPTORS)).text())
    _, notebook = await asyncio.to_thread(stock, tmp_path / "in.ipynb")
    stocks = json.loads(notebook.cells[0].outputs[0].text)
    assert _files(found) <= _files(stocks)


@pytest.mark.parametrize("beside", ["pandas.py", "pandas/__init__.py"])
async def test_a_file_beside_the_notebook_comes_before_a_library_loaded_ahead(tmp_path: Path, beside: str) -> None:
    (tmp_path / "numpy").mkdir()  # a folder that is no package comes after those that are
    (tmp_path / beside).parent.mkdir(exist_ok=True)
    (tmp_path / beside).write_text("own = True")
    source = "import pandas, numpy, sys; print(pandas.own, hasattr(numpy, 'ndarray'), 'pandas.core' in sys.modules)"
    async with opened(preload=PRELOAD) as press:
        assert succeeded(await execute(press, tmp_path, source)).text() == "True True False\n"
        (tmp_path / beside).unlink()
        source = "import pandas; print(hasattr(pandas, 'own'), hasattr(pandas, 'DataFrame'))"
        assert succeeded(await execute(press, tmp_path, source)).text() == "False True\n"


async def test_a_kernel_finds_what_the_stock_launcher_gives_it(tmp_path: Path) -> None:
    # A stock kernel inherits what its launcher ignores, as nohup has it; a forked one begins with the defaults.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        await _finds_what_the_stock_launcher_gives_it(tmp_path)
    finally:
        signal.signal(signal.SIGHUP, before)


async def _finds_what_the_stock_launcher_gives_it(tmp_path: Path) -> None:
    source = """
import __main__, json, os, signal, sys
names = ("TERM", "PAGER", "GIT_PAGER", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "MPLBACKEND")
print(json.dumps([
    sys.path, sys.argv[0], sys.executable, sys.flags, __main__.__dict__ is get_ipython().user_ns, sorted(globals()),
    sys.modules.get("__mp_main__", __main__) is __main__, {name: os.environ.get(name) for name in names},
    "JPY_PARENT_PID" in os.environ, os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid(),
    {s.name: str(signal.getsignal(s)) for s in signal.Signals if s != signal.SIGINT},
    [line for line in open("/proc/self/status") if line.startswith(("SigBlk", "SigIgn", "SigCgt", "Umask"))],
    sys.getrecursionlimit(), sys.getswitchinterval(), [type(s).__name__ for s in (sys.displayhook, sys.__stdout__)],
]))
"""
    async with opened(environment=kernel_environment(os.environ, ["*"]), preload=PRELOAD) as press:
        found = succeeded(await execute(press, tmp_path, source)).text()
    _, notebook = await asyncio.to_thread(stock, tmp_path / "in.ipynb")
    assert json.loads(found) == json.loads(notebook.cells[0].outputs[0].text)
