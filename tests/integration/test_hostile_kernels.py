"""What a hostile kernel tries with its own processes, what it inherits, and what it leaves for the next one."""

import json
import shutil
import sys
from pathlib import Path

import psutil
import pytest

from accounts import IS_ROOT, WHY, give, processes_of, uid_of
from besieged import SECRET, TOKEN, Siege

pytestmark = pytest.mark.skipif(not IS_ROOT, reason=WHY)
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]


@pytest.fixture
def marks(open_directory: Path) -> Path:
    """A folder where everybody may write who it was that ran something."""
    open_directory.chmod(0o777)
    return open_directory


def test_a_process_that_hides_is_gone_with_its_execution(siege: Siege) -> None:
    source = """
import os, time
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        os.write(write, str(os.getpid()).encode())
        while True:
            time.sleep(1)
    os._exit(0)
os.wait()
print(os.read(read, 20).decode())
"""
    row = siege.execute(siege.plant("hides.ipynb", source))
    assert row["status"] == "success", row
    assert not psutil.pid_exists(int(siege.printed(row)))
    assert processes_of(siege.mallory) == []


RUNNER = """
import glob, os
def runner():
    for path in glob.glob('/proc/[0-9]*/comm'):
        pid = int(path.split('/')[2])
        try:
            owner = os.stat(f'/proc/{pid}/status').st_uid
            if open(path).read().strip() == 'pressroom-run' and owner in (0, os.getuid()):
                if f"Uid:\\t{os.getuid()}\\t" in open(f'/proc/{pid}/status').read():
                    return pid
        except (FileNotFoundError, ProcessLookupError):
            pass  # of the machine's other processes, one that has just ended
"""


def test_its_own_runner_cannot_be_looked_into(siege: Siege) -> None:
    source = (
        RUNNER
        + """
import ctypes, json, subprocess
libc = ctypes.CDLL(None, use_errno=True)
child = subprocess.Popen(['sleep', '60'])
got = {}
for name, pid in (('child', child.pid), ('runner', runner())):
    got[name] = [libc.ptrace(0x4206, pid, None, None) == 0]
    for file in ('mem', 'environ', 'fd/0'):
        try:
            open(f'/proc/{pid}/{file}', 'rb').close()
            got[name].append(True)
        except OSError:
            got[name].append(False)
child.kill()
print(json.dumps(got))
"""
    )
    row = siege.execute(siege.plant("looks.ipynb", source))
    assert json.loads(siege.printed(row)) == {"child": [True] * 4, "runner": [False] * 4}


def test_whoever_kills_its_own_runner_fails_alone(siege: Siege) -> None:
    row = siege.execute(siege.plant("kills.ipynb", RUNNER + "import signal\nos.kill(runner(), signal.SIGKILL)"))
    assert (row["status"], row["failure"]["reason"]) == ("failed", "runner_died")
    assert "was killed by SIGKILL" in row["error_message"]
    assert processes_of(siege.mallory) == []
    assert [siege.row(execution)["status"] for execution in siege.executions] == ["running", "running"]


def test_whoever_kills_all_that_it_can_fails_alone(siege: Siege) -> None:
    row = siege.execute(siege.plant("kills-all.ipynb", "import os, signal\nos.kill(-1, signal.SIGKILL)"))
    assert (row["status"], row["failure"]["reason"]) == ("failed", "runner_died")
    assert [siege.row(execution)["status"] for execution in siege.executions] == ["running", "running"]


@pytest.mark.parametrize(
    "said",
    [
        b"no JSON at all\n",
        b"[1, 2, 3]\n",
        b'{"header": {}}\n',
        b'{"kind": "finished", "execution_id": %d, "reason": null, "message": "", "seconds": 0, "written": true}\n',
        b'{"channel": "shell", "header": {"msg_id": "k1", "msg_type": "execute_reply", "date": "x"}, "content": {}}\n',
        b"\x00\xff" * 100 + b"\n",
    ],
    ids=["no-json", "a-list", "no-type", "the-end-of-another", "a-wrong-date", "no-text"],
)
def test_a_kernel_that_says_what_nobody_understands_ends_alone(siege: Siege, said: bytes) -> None:
    forged = said.replace(b"%d", str(siege.executions[0]).encode())
    source = f"import time\nget_ipython().kernel.line.socket.sendall({forged!r})\nwhile True:\n    time.sleep(1)"
    row = siege.execute(siege.plant("forges.ipynb", source), timeout_seconds=60)
    assert (row["status"], row["failure"]["reason"]) == ("failed", "kernel_died"), row
    assert siege.row(siege.executions[0])["status"] == "running"


def test_a_message_that_is_too_large_is_not_taken_in(siege: Siege) -> None:
    source = "kernel = get_ipython().kernel\nkernel.line.socket.sendall(b'x' * 2**26 + b'\\n')\nprint('went on')"
    row = siege.execute(siege.plant("floods.ipynb", source), timeout_seconds=60)
    assert row["status"] in ("success", "failed")
    assert Path(row["output_path"]).stat().st_size < 2**22
    assert siege.row(siege.executions[0])["status"] == "running"


def test_a_fork_bomb_meets_its_limit(siege: Siege) -> None:
    source = """
import os, signal, time
children = []
try:
    while len(children) < 200:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        children.append(pid)
except BlockingIOError:
    print(len(children))
"""
    row = siege.execute(siege.plant("bomb.ipynb", source), max_processes=32)
    assert row["status"] == "success", row
    assert 0 < int(siege.printed(row)) < 32
    assert processes_of(siege.mallory) == []


def test_a_kernel_inherits_no_secret_and_nobody_answers_it(siege: Siege) -> None:
    # The marks are looked for in disguise, so that the search does not find itself.
    wanted = {"own": "own-mark", "token": TOKEN, "victim": SECRET}
    disguised = {name: bytes(byte ^ 1 for byte in mark.encode()).hex() for name, mark in wanted.items()}
    source = f"""
import json, os, socket, threading
own = "own-" + "mark"
wanted = {{name: bytes.fromhex(mark) for name, mark in {disguised!r}.items()}}
disguise = bytes(byte ^ 1 for byte in range(256))
found = set()
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
    for line in maps.read().splitlines():
        area, access = line.split()[:2]
        start, end = (int(address, 16) for address in area.split("-"))
        if access.startswith("r") and "[v" not in line:
            memory.seek(start)
            try:
                piece = memory.read(end - start).translate(disguise)
            except OSError:
                continue
            found |= {{name for name, mark in wanted.items() if mark in piece}}

mine, answering = socket.socketpair()
threading.Thread(target=lambda: answering.send(b"own" + answering.recv(100)[:0])).start()
line = get_ipython().kernel.line.socket.fileno()
text = json.dumps({{"report": True}}).encode()
answers, files = [], []
for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
    try:
        link = os.readlink(f"/proc/self/fd/{{fd}}")
    except OSError:
        continue  # that of the list itself
    if link.startswith("socket:") and fd not in (line, answering.fileno()):
        speaking = socket.socket(fileno=os.dup(fd))
        speaking.settimeout(0.2)
        try:
            speaking.send(len(text).to_bytes(4, "big") + text)
            answers.append(speaking.recv(100).decode())
        except OSError:
            pass
    elif link.startswith("/") and not link.startswith(("/proc/", "/dev/null")):
        files.append(link)
# The event loop has a pair of its own, in which it hears itself.
print(json.dumps([sorted(found), [a for a in answers if "report" not in a], files]))
"""
    row = siege.execute(siege.plant("inherits.ipynb", source))
    assert row["status"] == "success", row
    assert json.loads(siege.printed(row)) == [["own"], ["own"], []]


def test_nothing_of_a_users_is_met_by_another_user_or_by_root(siege: Siege, marks: Path) -> None:
    planted = f"import os; open({str(marks)!r} + '/' + str(os.getuid()), 'a').close()"
    home = siege.home(siege.mallory)
    version = "python{}.{}".format(*sys.version_info[:2])
    places = [
        home / "work" / "json.py",
        home / "work" / "sitecustomize.py",
        home / "work" / "usercustomize.py",
        home / ".ipython" / "profile_default" / "startup" / "00.py",
        home / ".ipython" / "profile_default" / "ipython_config.py",
        home / ".local" / "lib" / version / "site-packages" / "usercustomize.py",
        home / ".config" / "matplotlib" / "matplotlibrc",
    ]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(planted + "\n")
        give(place, siege.mallory)
    spec = home / ".local" / "share" / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    program = home / "program"
    program.write_text(f'#!/bin/sh\ntouch {marks}/$(id -u)-spec\nexec python "$@"\n')
    program.chmod(0o755)
    argv = [str(program), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "python3", "language": "python"}))
    for path in (spec, program):
        give(path, siege.mallory)
    patches = "import json, builtins, os\njson.dumps = builtins.open = os.fork = None\nos.environ['PYTHONPATH'] = '.'"
    assert siege.execute(siege.plant("work/patches.ipynb", patches))["status"] in ("success", "failed")
    spec.unlink()  # and once with the service's own kernel
    assert siege.execute(siege.plant("work/patches.ipynb", patches))["status"] in ("success", "failed")
    check = "import json, os\nprint(json.dumps([os.environ.get('PYTHONPATH'), callable(open), callable(os.fork)]))"
    path = give(write_notebook(Path(siege.target["home"]) / "check.ipynb", check), siege.victim)
    body = {"username": siege.victim, "input_path": str(path), "parameters": {}}
    answer = siege.admin.post("/execute", json=body)
    assert answer.status_code == 200, answer.text
    row = siege.row(answer.json()["execution_id"])
    assert json.loads(siege.printed(row)) == [None, True, True]
    me = uid_of(siege.mallory)
    assert {path.name for path in marks.iterdir()} == {str(me), f"{me}-spec"}
    shutil.rmtree(home / ".ipython")
    shutil.rmtree(home / ".local")
