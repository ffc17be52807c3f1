"""The workers, what waits for them, and the key of secret parameters, as the database tells of them. It blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from pressroom import __version__
from pressroom.doctor.case import Case
from pressroom.doctor.database import Connection, connected
from pressroom.doctor.findings import Finding, ok, warning, wrong
from pressroom.errors import KernelNotThere, shown
from pressroom.executions.kernels import PRIVATE, LivingKernels
from pressroom.executions.limits import DEFAULT_QUEUE
from pressroom.parameters.sealing import SecretKeys
from pressroom.settings import USER

_WORKERS = """
SELECT w.name, w.queues, w.concurrency, w.version, extract(epoch FROM now() - p.last_heartbeat)::float,
    jsonb_path_query_array(w.kernels, '$[*].name')
FROM workers AS w JOIN procrastinate_workers AS p USING (id) ORDER BY w.id
"""
_WAITING = """
SELECT queue, count(*), extract(epoch FROM now() - min(submitted_at))::float FROM notebook_executions
WHERE status = 'pending' AND coalesce(not_before, now()) <= now() GROUP BY queue ORDER BY queue
"""
_WANTED = """
SELECT kernel_name, queue FROM notebook_executions WHERE status = 'pending' AND kernel_name IS NOT NULL
UNION SELECT how ->> 'kernel_name', coalesce(how ->> 'queue', %(usual)s) FROM schedules
    WHERE NOT paused AND how ->> 'kernel_name' IS NOT NULL
UNION SELECT execution_defaults ->> 'kernel_name', coalesce(execution_defaults ->> 'queue', %(usual)s) FROM notebooks
    WHERE execution_defaults ->> 'kernel_name' IS NOT NULL
ORDER BY 1, 2
"""
_SEALED = """
(SELECT secrets FROM notebook_executions WHERE secrets IS NOT NULL ORDER BY id DESC LIMIT 20)
UNION ALL (SELECT secrets FROM schedules WHERE secrets IS NOT NULL ORDER BY id DESC LIMIT 20)
"""
_DEFINED = "SELECT count(*) FROM notebook_parameters WHERE secret"


@dataclass(frozen=True, slots=True)
class Seen:
    """A worker, and how many seconds ago it gave a sign of life. ``queues``: ``None`` for every queue; ``kernels``:
    ``None`` before it has told."""

    name: str
    queues: Sequence[str] | None
    concurrency: int
    version: str
    silent: float
    kernels: Sequence[str] | None

    def serves(self, queue: str) -> bool:
        """Whether it would take what waits in ``queue``."""
        return not queue.startswith(PRIVATE) if self.queues is None else queue in self.queues


def workers(case: Case) -> list[Finding]:
    """Whether somebody works, and on all that waits."""
    with connected(case) as connection:
        seen = [Seen(*row) for row in connection.execute(_WORKERS)]
        waiting = [(str(queue), int(number), float(age)) for queue, number, age in connection.execute(_WAITING)]
        wanted = [(str(kernel), str(queue)) for kernel, queue in connection.execute(_WANTED, {"usual": DEFAULT_QUEUE})]
    found = judged(seen, waiting, case.settings.worker_lost_seconds)
    if case.settings.run_as == USER:  # a kernel may be in its user's home, of which workers tell nobody
        return found
    return [*found, *lacking(seen, wanted, case.settings.worker_lost_seconds)]


def judged(seen: Sequence[Seen], waiting: Sequence[tuple[str, int, float]], lost_seconds: float) -> list[Finding]:
    """What to say of workers, and of what waits: queue, number of executions, seconds of the oldest."""
    part = "workers"
    living = [worker for worker in seen if worker.silent <= lost_seconds]
    found: list[Finding] = []
    if living:
        names = ", ".join(worker.name for worker in living[:5]) + (", ..." if len(living) > 5 else "")
        places = sum(worker.concurrency for worker in living)
        found.append(ok(part, f"{len(living)} at work ({names}), {places} executions at once"))
    else:
        found.append(warning(part, "nobody works: nothing that is queued is executed", "pressroom worker"))
    for worker in seen:
        if worker.silent > lost_seconds:
            says = f"{worker.name} gave no sign of life for {worker.silent:.0f} s, and counts as lost"
            found.append(warning(part, says, "start it again where it ran, if nobody stopped it"))
    for worker in living:
        if worker.version != __version__:
            says = f"{worker.name} is of version {worker.version}, and this is {__version__}"
            found.append(warning(part, says, "install the same version there, and start it again"))
    for queue, number, age in waiting:
        if not queue.startswith(PRIVATE) and not any(worker.serves(queue) for worker in living):
            says = f"{number} executions wait in queue {queue}, for up to {age:.0f} s, and no worker serves it"
            found.append(wrong("queues", says, f"pressroom worker --queues {queue}"))
    if waiting and not any(finding.part == "queues" for finding in found):
        found.append(
            ok("queues", f"{sum(number for _, number, _ in waiting)} executions wait, each for a worker's turn")
        )
    return found


def lacking(seen: Sequence[Seen], wanted: Sequence[tuple[str, str]], lost_seconds: float) -> list[Finding]:
    """What to say of kernels, each with its queue, that are wanted by what waits, by schedules or by notebooks."""
    living = LivingKernels.of([(worker.queues, worker.kernels) for worker in seen if worker.silent <= lost_seconds])
    found: list[Finding] = []
    for kernel, queue in wanted:
        try:
            living.require(kernel, queue)
        except KernelNotThere as error:
            found.append(wrong("kernels", error.detail, f"install {shown(kernel)} there; jupyter kernelspec list"))
    return found


def secret_key(case: Case) -> list[Finding]:
    """Whether secret parameters can be used: the key that encrypted them is not in the database, nor in a backup."""
    part, keys = "secret key", SecretKeys.of(case.settings)
    with connected(case) as connection:
        sealed = [str(row[0]) for row in connection.execute(_SEALED)]
        defined = _number(connection, _DEFINED)
    there = case.settings.secret_keys
    unreadable = sum(not keys.opens(text) for text in sealed)
    if unreadable and there:
        says = f"PRESSROOM_SECRET_KEY does not decrypt {unreadable} of the last {len(sealed)} sets of secrets"
        return [wrong(part, says, "add the key that they were encrypted with: PRESSROOM_SECRET_KEY=NEW,OLD")]
    if (sealed or defined) and not there:
        says = f"there are {defined} secret parameters, and no PRESSROOM_SECRET_KEY to decrypt their values"
        return [wrong(part, says, "set PRESSROOM_SECRET_KEY to the key of this service; pressroom secrets new-key")]
    if not there:
        return [ok(part, "none is set, so no parameter can be secret; `pressroom secrets new-key` makes one")]
    return [ok(part, f"PRESSROOM_SECRET_KEY decrypts what is kept ({len(sealed)} tried)")]


def _number(connection: Connection, statement: LiteralString) -> int:
    row = connection.execute(statement).fetchone()
    return 0 if row is None else int(row[0])
