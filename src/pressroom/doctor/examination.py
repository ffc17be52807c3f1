"""An examination: every check in a thread of its own, each with an end.

What hangs (a server that says nothing, a file system that is away) holds up its own check, and no other. Its thread is
left to itself: the process can end without it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from sqlalchemy import URL

from pressroom.database.embedded import EmbeddedServer
from pressroom.database.url import normalise
from pressroom.doctor import database, machine, queue, sign_in
from pressroom.doctor.case import Case
from pressroom.doctor.findings import Finding, State, warning, wrong
from pressroom.errors import PressroomError, shown

Found = Sequence[Finding]
Begun = tuple[Future[Found], float]


@dataclass(frozen=True, slots=True)
class Check:
    """A check: what it is of, what looks, and how many seconds it may take."""

    part: str
    look: Callable[[Case], Found]
    seconds: float
    mend: str | None = None


_OF_THE_DATABASE = (Check("migrations", database.migrations, 20), Check("clock", database.clock, 15))
_IN_THE_DATABASE = (Check("workers", queue.workers, 15), Check("secret key", queue.secret_key, 15))
_ON_THE_REST = (
    Check("kernels", machine.kernels, 75, "pressroom kernels list"),
    Check("users root", machine.folders, 15, "df, and ls of the folder: a file system may be away"),
    Check("disk", machine.disk, 15, "df: a file system may be away"),
    Check("sign-in", sign_in.local, 5),
    Check("sign-in", sign_in.issuer, 20, "curl of the issuer, from this machine"),
    Check("sign-in", sign_in.hub, 20, "curl of the Hub's API, from this machine"),
)
_EMBEDDED_SECONDS = 60.0
_ANSWER_SECONDS = 15.0


def examine(case: Case) -> list[Finding]:
    """Look at all of it. Takes no longer than the slowest check may, and raises nothing."""
    rest = _all_begun(_ON_THE_REST, case)
    found = [*case.findings, *of_the_database(case), *_all_of(rest)]
    return [finding.without(case.secrets) for finding in found]


def of_the_database(case: Case) -> list[Finding]:
    """What the database is asked, once it is known to answer; and of what is in it, once that is known to be ours."""
    url = case.settings.database_url
    if url is None and not (case.settings.data_dir / "postgres").exists():
        says = (
            f"the embedded server has no files yet in {case.settings.data_dir}; the service makes them when it starts"
        )
        found = warning("database", says, "pressroom serve; or DATABASE_URL for a server of yours")
        return [found, _unknown(*_OF_THE_DATABASE, *_IN_THE_DATABASE)]
    if url is None:
        log = case.settings.data_dir / "postgres" / "server.log"
        reached = Check("database", _reached, _EMBEDDED_SECONDS, f"df {log.parent}; tail {log}; then pressroom serve")
    else:
        reached = Check("database", _reached, _ANSWER_SECONDS, database.START)
    found = _of(reached, _begun(reached, case))
    if _is_wrong(found):
        return [*found, _unknown(*_OF_THE_DATABASE, *_IN_THE_DATABASE)]
    schema = _all_of(_all_begun(_OF_THE_DATABASE, case))
    if _is_wrong([finding for finding in schema if finding.part == "migrations"]):
        return [*found, *schema, _unknown(*_IN_THE_DATABASE)]
    return [*found, *schema, *_all_of(_all_begun(_IN_THE_DATABASE, case))]


def _is_wrong(found: Found) -> bool:
    return any(finding.state is State.WRONG for finding in found)


def _unknown(*checks: Check) -> Finding:
    parts = ", ".join(check.part for check in checks)
    return warning("not looked at", f"{parts}: the database is to tell of them")


def _reached(case: Case) -> Found:
    case.url = _url(case)
    return database.reached(case)


def _url(case: Case) -> URL:
    if case.settings.database_url is not None:
        return normalise(case.settings.database_url.get_secret_value())
    return EmbeddedServer(case.settings.data_dir).start()  # it is left when the process ends


def _all_begun(checks: Sequence[Check], case: Case) -> list[tuple[Check, Begun]]:
    return [(check, _begun(check, case)) for check in checks]


def _all_of(begun: Sequence[tuple[Check, Begun]]) -> list[Finding]:
    return [finding for check, started in begun for finding in _of(check, started)]


def _begun(check: Check, case: Case) -> Begun:
    """What a check will have found, and when it is no longer waited for."""
    future: Future[Found] = Future()

    def look() -> None:
        try:
            future.set_result(check.look(case))
        except PressroomError as error:
            future.set_result([wrong(check.part, error.detail, check.mend)])
        except BaseException as error:  # noqa: BLE001 - a check that fails is a finding, and hides no other
            says = f"this check failed itself: {type(error).__name__}: {shown(str(error), 300)}"
            future.set_result([wrong(check.part, says, check.mend)])

    threading.Thread(target=look, name=f"doctor-{check.part}", daemon=True).start()
    return future, time.monotonic() + check.seconds


def _of(check: Check, begun: Begun) -> Found:
    future, until = begun
    try:
        return future.result(timeout=max(0.0, until - time.monotonic()))
    except TimeoutError:
        return [wrong(check.part, f"there was no answer within {check.seconds:g} s", check.mend)]
