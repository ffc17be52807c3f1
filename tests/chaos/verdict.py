"""What must be true when the storm is over."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import nbformat

from chaos.plant import Plant
from chaos.work import Order

_EXECUTIONS = """
SELECT id, status, attempt, failure ->> 'reason', error_message, output_path, idempotency_key,
    cancel_requested_at IS NOT NULL
FROM notebook_executions ORDER BY id
"""
_ATTEMPTS = """
SELECT execution_id, number, reason, ended_at IS NOT NULL, message FROM execution_attempts ORDER BY execution_id, number
"""
_COUNTS = """
SELECT status, sum(change)::int FROM execution_counts GROUP BY status HAVING sum(change) <> 0 ORDER BY status
"""
_DISK = "No space left on device"


@dataclass(frozen=True, slots=True)
class Row:
    """An execution as it ended."""

    id: int
    status: str
    attempt: int
    reason: str | None
    message: str | None
    output_path: str
    key: str
    asked: bool
    """Whether somebody asked for its end."""


class Verdict:
    """Everything that is wrong after a storm, in sentences."""

    def __init__(self, plant: Plant, accepted: dict[int, Order]) -> None:
        self._plant, self._accepted = plant, accepted
        self.wrong: list[str] = list(plant.complaints)
        self.rows = [Row(*row) for row in plant.rows(_EXECUTIONS)]  # type: ignore[arg-type]
        self._attempts: dict[int, list[tuple[int, str | None, bool, str]]] = defaultdict(list)
        for execution_id, *rest in plant.rows(_ATTEMPTS):
            self._attempts[execution_id].append(tuple(rest))  # type: ignore[index, arg-type]
        lines = [line.split() for line in plant.ledger.read_text().splitlines()]
        self._ledger = Counter((int(execution), int(attempt), token) for execution, attempt, token in lines)

    def reached(self) -> list[str]:
        """Look at everything."""
        for row in self.rows:
            order = self._accepted.get(row.id)
            if order is None:
                self.wrong.append(f"execution {row.id} was accepted, and nobody was told")
                continue
            self._attempts_are_consistent(row)
            if row.status == "success":
                self._succeeded(row, order)
            else:
                self._explained(row, order)
        missing = set(self._accepted) - {row.id for row in self.rows}
        self._must(not missing, f"executions {sorted(missing)} are lost")
        self._database()
        self._machine()
        return self.wrong

    def _must(self, fact: object, otherwise: str) -> None:
        if not fact:
            self.wrong.append(otherwise)

    def _attempts_are_consistent(self, row: Row) -> None:
        attempts = self._attempts[row.id]
        shown = f"execution {row.id} ({row.status}, {row.reason}) with attempts {attempts}"
        self._must([number for number, *_ in attempts] == list(range(1, row.attempt + 1)), f"numbers: {shown}")
        self._must(all(ended for _, _, ended, _ in attempts), f"not ended: {shown}")
        winners = [number for number, reason, _, _ in attempts if reason is None]
        self._must(winners == ([row.attempt] if row.status == "success" else []), f"winners: {shown}")

    def _succeeded(self, row: Row, order: Order) -> None:
        self._must(order.kind in {"plain", "flaky"}, f"execution {row.id} succeeded, and is of kind {order.kind}")
        lines = self._ledger[row.id, row.attempt, order.token]
        self._must(lines == 1, f"execution {row.id} wrote {lines} lines in its winning attempt {row.attempt}")
        try:
            notebook = nbformat.reads(Path(row.output_path).read_text(), as_version=4)
            nbformat.validate(notebook)
        except (OSError, ValueError, nbformat.ValidationError) as error:
            self.wrong.append(f"the output of execution {row.id} cannot be read: {error}")
            return
        written = f"written: {row.id} {row.attempt} {order.token}\n"
        last = "".join(output.get("text", "") for output in notebook.cells[-1].outputs)
        self._must(last == written, f"the output of execution {row.id} says {last!r}, not {written!r}")
        whole = all(cell.metadata.papermill.status == "completed" for cell in notebook.cells)
        self._must(whole, f"the output of execution {row.id} is not complete")

    def _explained(self, row: Row, order: Order) -> None:
        message = row.message or ""
        disk = row.status == "failed" and _DISK in message
        match order.kind, row.status, row.reason:
            case "raises", "failed", "cell_error":
                fine = "on purpose" in message
            case "overtime", "failed", "timed_out":
                fine = "limit of 5 s" in message
            case "cancelled", "cancelled", "cancelled" | "worker_lost" | "interrupted":
                fine = row.asked
            case "kernel_killer", "failed", "kernel_died":
                fine = "SIGKILL" in message
            case "worker_killer", "failed", "worker_lost":
                counted = [why for _, why, _, _ in self._attempts[row.id] if why != "interrupted"]
                fine = len(counted) == 2 and "tried 2 times" in message
            case _:
                fine = False
        shown = f"execution {row.id} of kind {order.kind} is {row.status}, {row.reason}: {message}"
        self._must(fine or disk, f"{shown} {self._attempts[row.id]}")

    def _database(self) -> None:
        jobs = self._plant.rows("SELECT id, status::text FROM procrastinate_jobs WHERE task_name = 'execute'")
        self._must(not jobs, f"jobs are left: {jobs}")
        held = Counter(row.status for row in self.rows)
        self._must(set(held) <= {"success", "failed", "cancelled"}, f"not all have ended: {held}")
        counts = dict(self._plant.rows(_COUNTS))
        self._must(counts == dict(held), f"the totals say {counts}, the rows {dict(held)}")
        keys = Counter(row.key for row in self.rows)
        self._must(max(keys.values()) == 1, f"a request was accepted twice: {keys.most_common(3)}")

    def _machine(self) -> None:
        left = [" ".join(process.cmdline()) for process in self._plant.alive()]
        self._must(not left, f"processes are left: {left}")
        left = [str(path) for path in self._plant.users.rglob("*.artifacts")]
        self._must(not left, f"artifact directories are left: {left}")
        half = [str(path) for path in self._plant.users.rglob(".pressroom-*")]
        self._must(not half, f"half written outputs are left: {half}")
        scratch = [path.name for path in self._plant.tmp.iterdir()]
        self._must(not scratch, f"scratch folders are left: {scratch}")

    def summary(self) -> str:
        """What came of it, in a line."""
        ends = Counter((row.status, row.reason or "") for row in self.rows)
        tries = Counter(why or "success" for found in self._attempts.values() for _, why, _, _ in found)
        shown = {f"{status} {reason}".strip(): n for (status, reason), n in sorted(ends.items())}
        return f"ends {json.dumps(shown)}, attempts {json.dumps(dict(tries.most_common()))}"
