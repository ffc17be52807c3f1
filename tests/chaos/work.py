"""What is executed: notebooks that end in every way, who submits them, and who cancels some of them."""

import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from chaos.plant import MARK

_LEDGER = f"""
import os
line = f"{{os.environ['PRESSROOM_EXECUTION_ID']}} {{os.environ['PRESSROOM_ATTEMPT']}} {{token}}"
fd = os.open(os.environ["{MARK}_LEDGER"], os.O_WRONLY | os.O_APPEND)
os.write(fd, f"{{line}}\\n".encode())
os.close(fd)
print("written:", line)
"""
_SLEEP = "import os, time\ntime.sleep(seconds)"
_SLEEP_AT_FIRST = "import os, time\ntime.sleep(seconds if os.environ['PRESSROOM_ATTEMPT'] == '1' else 0)"
_RAISE = "raise RuntimeError('on purpose')"
_KILL_KERNEL = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
_KILL_WORKER = """
import os, signal, time, psutil
above = psutil.Process().parents()
next(process for process in above if not process.name().startswith("pressroom-")).kill()
time.sleep(60)
"""
_FLAKY = "import os\nif os.environ['PRESSROOM_ATTEMPT'] == '1':\n    raise RuntimeError('the first time')"
SOURCES = {
    "plain": (_SLEEP, _LEDGER),
    "slow_at_first": (_SLEEP_AT_FIRST, _LEDGER),
    "flaky": (_SLEEP, _FLAKY, _LEDGER),
    "raises": (_SLEEP, _RAISE, _LEDGER),
    "overtime": (_SLEEP, _LEDGER),
    "cancelled": (_SLEEP, _LEDGER),
    "kernel_killer": (_KILL_KERNEL, _LEDGER),
    "worker_killer": (_KILL_WORKER, _LEDGER),
}
_WEIGHTS = {"plain": 62, "flaky": 8, "raises": 8, "overtime": 6, "cancelled": 10, "kernel_killer": 6}
_PATIENT = {"max_attempts": 50, "retry_delay_seconds": 0.2}
_HOW: dict[str, dict[str, object]] = {
    "flaky": {"retry_on": ["any_failure"]},
    "overtime": {"timeout_seconds": 5},
    "worker_killer": {"max_attempts": 2},
}


@dataclass(frozen=True, slots=True)
class Order:
    """One execution to be: ``cancel_after`` seconds for those that are to be cancelled."""

    kind: str
    token: str
    user: str
    seconds: float
    cancel_after: float = 0.0

    def body(self, users: Path) -> dict[str, object]:
        path = str(users / self.user / f"{self.kind}.ipynb")
        given = {"token": self.token, "seconds": self.seconds}
        return {"input_path": path, "parameters": given} | _PATIENT | _HOW.get(self.kind, {})


def orders(rng: random.Random, number: int) -> list[Order]:
    """``number`` orders of every kind, one of them the worker's killer."""
    kinds = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=number - 1)
    kinds.insert(rng.randrange(number), "worker_killer")
    made: list[Order] = []
    for kind in kinds:
        seconds = 600.0 if kind in {"overtime", "cancelled"} else rng.uniform(0, 1.5)
        token = f"{kind}-{rng.getrandbits(48):012x}"
        made.append(Order(kind, token, rng.choice(("ana", "ben")), seconds, rng.uniform(0, 6)))
    return made


def write_notebooks(users: Path) -> None:
    """The notebooks of every kind, for every user."""
    for user in ("ana", "ben"):
        for kind, sources in SOURCES.items():
            parameters = 'token = "none"\nseconds = 0.0'
            pytest.write_notebook(users / user / f"{kind}.ipynb", *sources, parameters=parameters)


class Caller:
    """Somebody who submits and cancels over HTTP, and does not give up: what is not answered is sent again."""

    def __init__(self, url: str, users: Path, deadline: float) -> None:
        self._http = httpx.Client(base_url=url, timeout=10)
        self._users, self._deadline = users, deadline
        self._never = threading.Event()
        self.accepted: dict[int, Order] = {}
        self.failures: list[str] = []
        self.sent_again = 0

    def submit(self, wanted: list[Order], within: float) -> None:
        """Submit all, spread over ``within`` seconds, and cancel those that are to be cancelled."""
        began = time.monotonic()
        cancels: list[tuple[float, int]] = []
        try:
            for place, order in enumerate(wanted):
                self._pause(began + within * place / len(wanted) - time.monotonic())
                execution_id = self._submitted(order)
                if order.kind == "cancelled":
                    cancels.append((time.monotonic() + order.cancel_after, execution_id))
                for due in [due for due in cancels if due[0] <= time.monotonic()]:
                    cancels.remove(due)
                    self._cancel(due[1])
            for at, execution_id in sorted(cancels):
                self._pause(at - time.monotonic())
                self._cancel(execution_id)
        except Exception as error:  # noqa: BLE001 - it is told of in the test's own thread
            self.failures.append(f"{type(error).__name__}: {error}")
        finally:
            self._http.close()

    def _submitted(self, order: Order) -> int:
        headers = {"Prefer": "respond-async", "Idempotency-Key": order.token}
        answer = self._persistently("/execute", headers, order.body(self._users) | {"username": order.user})
        assert answer.status_code == 202, f"{order.kind}: {answer.status_code} {answer.text}"
        execution_id: int = answer.json()["id"]
        assert execution_id not in self.accepted, f"execution {execution_id} was given twice"
        self.accepted[execution_id] = order
        return execution_id

    def _cancel(self, execution_id: int) -> None:
        answer = self._persistently(f"/db/executions/{execution_id}/cancel", {}, None)
        assert answer.status_code == 200, f"cancel of {execution_id}: {answer.status_code} {answer.text}"

    def _persistently(self, path: str, headers: dict[str, str], body: dict[str, object] | None) -> httpx.Response:
        while True:
            try:
                answer = self._http.post(path, headers=headers, json=body)
                if answer.status_code != 503:
                    return answer
            except httpx.TransportError:
                pass
            assert time.monotonic() < self._deadline, f"no answer to POST {path}"
            self.sent_again += 1
            self._pause(0.2)

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self._never.wait(seconds)
