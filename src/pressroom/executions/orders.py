"""What a caller asks to be executed, and the row that it becomes once it is checked."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from procrastinate.manager import JobManager
from pydantic import JsonValue

from pressroom import traces
from pressroom.database.models import Execution
from pressroom.database.session import Connection
from pressroom.errors import Invalid, KernelNotThere, NotFound, PressroomError
from pressroom.executions.access import Acting, acting, may_execute, require_own_output
from pressroom.executions.kernels import PRIVATE, USUAL, KnownKernels, has_of_its_own
from pressroom.executions.limits import CEILINGS, DEFAULT_QUEUE, Limits
from pressroom.executions.options import ExecutionDefaults, HowToExecute
from pressroom.executions.parameters_used import ParametersUsed, used, used_again
from pressroom.executions.refusals import about
from pressroom.executions.registered import Opened, Registered, at_path
from pressroom.executions.states import RetryOn, Status
from pressroom.identity.policy import require_acting_for, viewer
from pressroom.identity.principal import Principal
from pressroom.notebooks import files
from pressroom.notebooks.places import Location, Places
from pressroom.parameters.sealing import SecretKeys
from pressroom.settings import Settings

OUTPUT_FOLDER = "executions"
_PRIVATE = ("queue", "max_attempts")
_PLAIN = ("queue", "priority", "timeout_seconds", *CEILINGS, "max_attempts", "retry_delay_seconds")


@dataclass(frozen=True, slots=True)
class Origin:
    """What made an order, where that was no single request: a batch, in which it has the place ``batch_index``, or the
    tick of a schedule. ``batch_limit``: it starts only while fewer executions of its batch run. ``in_order``: only when
    those before it in its batch have ended."""

    batch_id: int | None = None
    batch_index: int | None = None
    batch_limit: int | None = None
    in_order: bool = False
    schedule_id: int | None = None
    scheduled_at: datetime | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of the execution, as JSON."""
        said = asdict(self)
        return said | {"scheduled_at": self.scheduled_at and self.scheduled_at.isoformat()}


ALONE = Origin()
"""Of an order that somebody gave by itself."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asked to be executed: a notebook by its ``input_path``, or a registered one by ``notebook_id``.

    ``lenient``: the values are texts from a command line or a form. ``username`` is ``None`` where the caller named
    nobody. ``repeats`` is the execution that this one repeats to the letter, by :func:`repeated`: nothing is filled in
    from the notebook, which may have changed since. A ``private_queue`` (see :func:`own_queue`) is served by nobody but
    who submits: it is executed there, once, and goes with its worker. ``place`` is where the order stands in the body
    of a request for many. ``hidden`` names the parameters that were given where nobody sees them; ``None`` is all.
    """

    parameters: Mapping[str, JsonValue] = field(repr=False)
    input_path: str | None = None
    notebook_id: int | None = None
    username: str | None = None
    output_path: str | None = None
    in_place: bool = False
    how: HowToExecute = field(default_factory=HowToExecute)
    lenient: bool = False
    repeats: Execution | None = None
    private_queue: str | None = None
    place: tuple[str | int, ...] = ()
    hidden: frozenset[str] | None = None
    origin: Origin = ALONE

    @property
    def chooses_output(self) -> bool:
        """Whether its output goes where another execution's may go too."""
        return self.in_place or self.output_path is not None


@dataclass(frozen=True, slots=True)
class Subject:
    """The notebook of an order, checked: whom it acts as, where its file lies, and its registration, if any.

    ``outputs`` is how the paths of its executions' outputs begin, where their caller chose none. ``secret`` names the
    secret parameters of the file's registration, also where it is not the caller's to see. ``kernel`` is the
    file's. ``hidden``: the file is registered, and the caller may not execute the notebook; they executed the file that
    is theirs to read.
    """

    acting: Acting
    place: Location
    notebook: Registered | None
    defaults: ExecutionDefaults
    outputs: str
    secret: frozenset[str]
    kernel: str
    hidden: bool = False

    @property
    def username(self) -> str:
        """As whom it is executed."""
        return self.acting.username


@dataclass(frozen=True, slots=True)
class Intake:
    """What taking orders needs. ``jobs`` is Procrastinate's; ``valid`` remembers which files are usable notebooks, and
    ``kernels`` which kernels there are; ``per_minute`` is how many a caller may give, a minute."""

    places: Places
    settings: Settings
    jobs: JobManager
    valid: files.ValidFiles
    per_minute: int | None = None
    kernels: KnownKernels = field(default_factory=KnownKernels)


class OrderBook:
    """Turns orders into rows. What orders have in common is looked up once."""

    def __init__(self, connection: Connection, intake: Intake, principal: Principal, opened: Opened) -> None:
        self._connection, self._principal, self._opened = connection, principal, opened
        self._seen_by = viewer(principal)
        self._places, self._settings, self._valid = intake.places, intake.settings, intake.valid
        self._subjects: dict[tuple[object, ...], Subject | PressroomError] = {}
        self._known_kernels, self._kernels = intake.kernels, dict[tuple[str, str, str], KernelNotThere | None]()
        self._keys = SecretKeys.of(intake.settings)
        self._trace = traces.carried()

    async def row(self, order: Order, execution_id: int) -> dict[str, Any]:
        """The columns of an order's execution, ``pending``, as JSON.

        Raises :class:`NotAllowed`, :class:`PathNotAllowed`, :class:`NotFound`, :class:`NotebookInvalid`,
        :class:`KernelNotThere`, :class:`ParameterInvalid` or :class:`Invalid`, with the field that each is about.
        """
        subject = await self.subject(order)
        with about("in_place" if order.in_place else "output_path"):
            require_own_output(subject.acting, chosen=order.chooses_output)
            output = await self._output(order, subject, execution_id)
        with about("parameters"):
            purpose = (execution_id, subject.username, str(subject.place.path))
            parameters = self._parameters(order, subject).columns(self._keys, purpose)
        registered, earlier = subject.notebook, order.repeats
        how = self._how(order, subject.defaults)
        if order.private_queue is not None:
            how |= {"queue": order.private_queue, "max_attempts": 1}
        await self._require_kernel(how["kernel_name"] or subject.kernel, how["queue"], subject.username)
        return {
            "id": execution_id,
            "notebook_id": earlier.notebook_id
            if earlier and not subject.hidden
            else registered.id
            if registered
            else None,
            "username": subject.username,
            "input_path": str(subject.place.path),
            "output_path": output,
            **parameters,
            "status": Status.PENDING.value,
            "in_place": order.in_place,
            "submitted_by": self._principal.username,
            "submitted_at": self._opened.at.isoformat(),
            "retry_of": earlier.id if earlier else None,
            "trace": self._trace,
            **order.origin.columns,
            **how,
        }

    async def _require_kernel(self, name: str, queue: str, username: str) -> None:
        """Raise :class:`KernelNotThere`, by one question however many orders there are."""
        asked = name, queue, username
        if asked not in self._kernels:
            self._kernels[asked] = await self._missing(*asked)
        if (missing := self._kernels[asked]) is not None:
            raise missing

    async def _missing(self, name: str, queue: str, username: str) -> KernelNotThere | None:
        """That no worker of a queue has a kernel, nor the user an own one that it could find; ``None`` where it may be
        there."""
        try:
            lost_seconds = self._settings.worker_lost_seconds
            await self._known_kernels.require(self._connection, lost_seconds, name, queue)
        except KernelNotThere as error:
            account = self._places.account(username)
            own = account is not None and await asyncio.to_thread(has_of_its_own, account, name)
            return None if own else error
        return None

    async def subject(self, order: Order) -> Subject:
        """The notebook of an order, and as whom it is executed. Raises as :meth:`row`."""
        key = (order.username, order.input_path, order.notebook_id)
        subject = self._subjects.get(key)
        if subject is None:
            try:
                with about("input_path" if order.notebook_id is None else "notebook_id"):
                    subject = await self._subject(order)
            except PressroomError as error:
                subject = error
            self._subjects[key] = subject
        if isinstance(subject, PressroomError):
            raise subject
        return subject

    async def _subject(self, order: Order) -> Subject:
        if order.notebook_id is not None:
            notebook = self._opened.notebooks.get(order.notebook_id)
            if notebook is None:
                raise NotFound("notebook", order.notebook_id)
            path = notebook.file_path
            with about("username" if order.username else "notebook_id"):
                by = acting(self._principal, notebook, order.username)
        else:
            notebook = None
            by, path = await self._acting_at(order.username, str(order.input_path))
        stored = order.notebook_id is not None or order.repeats is not None
        located = self._places.stored if stored else self._places.locate
        place, outputs, kernel = await asyncio.to_thread(self._checked, located, path, by.username)
        registered, hidden = notebook, False
        if notebook is None:
            registered = notebook = await at_path(self._connection, self._seen_by, str(place.path))
            if notebook is not None and not may_execute(self._principal, notebook):
                notebook, hidden = None, True
            if by.granted and (notebook is None or acting(self._principal, notebook, by.username) != by):
                require_acting_for(self._principal, by.username)
        name = f"{place.path.stem}-{self._opened.at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        defaults = notebook.defaults if notebook else ExecutionDefaults()
        secret = registered.secret_names if registered else frozenset[str]()
        return Subject(by, place, notebook, defaults, str(outputs / name), secret, kernel, hidden)

    def _checked(self, located: Callable[[str, str], Location], path: str, username: str) -> tuple[Location, Path, str]:
        """Where the notebook lies, that it is one, the folder of its outputs, which may be a link, and its kernel.
        Blocks on the file system."""
        place = located(path, username)
        kernel = self._valid.kernel(place) or USUAL
        return place, self._places.resolved(str(place.beside(OUTPUT_FOLDER).path), username), kernel

    async def _acting_at(self, named: str | None, path: str) -> tuple[Acting, str]:
        """As whom the notebook of a path is executed, and that path, which starts at the directory of who is
        named, else the caller's. Raises :class:`NotAllowed`."""
        me = self._principal
        if "\0" not in path and not Path(path).is_absolute():
            path = str(self._places.home(named or me.username) / path)
        if named is not None and (named == me.username or self._seen_by is None):
            return Acting(named), path
        holder = await asyncio.to_thread(self._places.owner_of, path, me.username)
        resolved = await asyncio.to_thread(self._places.resolved, path, me.username)
        registered = await at_path(self._connection, self._seen_by, str(resolved))
        if registered is not None and may_execute(me, registered):
            with about("username"):
                return acting(me, registered, named), path
        with about("username"):
            require_acting_for(me, username := named or holder or me.username)
        return Acting(username), path

    async def _output(self, order: Order, subject: Subject, execution_id: int) -> str:
        place = subject.place
        if order.in_place:
            if order.output_path is not None:
                raise Invalid("Say either output_path or in_place.")
            return str(place.path)
        if order.output_path is not None:
            located = self._places.stored if order.repeats is not None else self._places.locate
            return await asyncio.to_thread(_chosen, located, place, subject.username, order.output_path)
        path = f"{subject.outputs}-{execution_id}.ipynb"
        if len(path) > 512:
            raise Invalid("The path of the output would be longer than 512 characters.")
        return path

    def _parameters(self, order: Order, subject: Subject) -> ParametersUsed:
        definitions = subject.notebook.definitions if subject.notebook is not None else None
        if order.repeats is not None:
            return used_again(order.repeats, subject.secret, self._keys)
        return used(order.parameters, definitions, subject.secret, lenient=order.lenient, hidden=order.hidden)

    def _how(self, order: Order, defaults: ExecutionDefaults) -> dict[str, Any]:
        """What the caller says, else the notebook, else the settings. Of what is repeated, what it had.

        Raises :class:`OverLimit` where the caller says more than the settings allow; what a notebook or a repeated
        execution has kept since before is held to the limit.
        """
        settings, how = self._settings, order.how
        if order.repeats is not None:
            defaults = ExecutionDefaults()

        def said(name: str, otherwise: Any = None) -> Any:
            value = getattr(how, name)
            value = getattr(defaults, name) if value is None else value
            return otherwise if value is None else value

        queue = said("queue", DEFAULT_QUEUE)
        limits = Limits(settings, queue)
        if order.repeats is None:
            limits.require(how)
        late_after = said("late_after_seconds")
        return {
            "kernel_name": said("kernel_name"),
            "queue": queue,
            "priority": said("priority", 0),
            "timeout_seconds": limits.held(
                "timeout_seconds", said("timeout_seconds", settings.timeout_seconds if order.repeats is None else None)
            ),
            **{name: limits.held(name, said(name)) for name in CEILINGS},
            "max_attempts": limits.held("max_attempts", said("max_attempts", settings.max_attempts)),
            "retry_on": [reason.value for reason in said("retry_on", [RetryOn.WORKER_LOST])],
            "retry_delay_seconds": said("retry_delay_seconds", settings.retry_delay_seconds),
            "notebook_limit": said("notebook_limit"),
            "user_limit": limits.held("user_limit", said("user_limit")),
            "queue_limit": limits.held("queue_limit", said("queue_limit")),
            "expires_at": how.expires_at and how.expires_at.isoformat(),
            "late_at": (self._opened.at + timedelta(seconds=late_after)).isoformat()
            if late_after is not None
            else None,
        }


def _chosen(located: Callable[[str, str], Location], place: Location, username: str, path: str) -> str:
    """An output that the caller chose, checked; its folder must be there."""
    output = located(path, username)
    if output.path == place.path:
        raise Invalid("output_path is the input itself; leave it out, or send in_place to /execute.")
    with output.parent.open_directory():
        return str(output.path)


def own_queue() -> str:
    """The name of a queue that nobody else serves."""
    return f"{PRIVATE}{uuid.uuid4().hex}"


def repeated(execution: Execution) -> Order:
    """The order that executes the same input with the same parameters again, and in the same way."""
    output, given = Path(str(execution.output_path)), Path(execution.input_path)
    named = output.name.startswith(f"{given.stem}-") and output.name.endswith(f"-{execution.id}.ipynb")
    ours = execution.in_place or (named and output.parent == given.parent / OUTPUT_FOLDER)
    plain = [name for name in _PLAIN if name not in _PRIVATE or not execution.queue.startswith(PRIVATE)]
    fields = {name: getattr(execution, name) for name in (*plain, "notebook_limit", "user_limit", "queue_limit")}
    late = execution.late_at - execution.submitted_at if execution.late_at else None
    return Order(
        parameters=execution.parameters_used or {},
        input_path=execution.input_path,
        username=execution.username,
        output_path=None if ours else str(output),
        in_place=execution.in_place,
        # Not checked again: it was, and is held to the limits of today.
        how=HowToExecute.model_construct(
            **fields,
            retry_on=[RetryOn(reason) for reason in execution.retry_on],
            kernel_name=execution.kernel_name,
            late_after_seconds=late.total_seconds() if late else None,
        ),
        repeats=execution,
    )
