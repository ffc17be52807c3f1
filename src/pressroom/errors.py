"""What can go wrong, a class each.

The tree (the number is the HTTP status that the API answers with; the last word is the end of the problem's ``type``)::

    PressroomError ─┬─ HostNotAllowed          400  host-not-allowed
                    ├─ NotAuthenticated        401  not-authenticated
                    ├─ NotAllowed              403  not-allowed
                    │   └─ PathNotAllowed      403  path-not-allowed
                    ├─ NotFound                404  not-found
                    ├─ AlreadyExists           409  already-exists
                    │   └─ IdempotencyConflict 409  idempotency-conflict
                    ├─ AlreadyEnded            409  already-ended
                    ├─ BatchEnded              409  batch-ended
                    ├─ NotEnded                409  not-ended
                    ├─ TooLarge                413  too-large
                    ├─ Invalid                 422  invalid
                    │   ├─ ParameterInvalid    422  parameter-invalid
                    │   ├─ RuleInvalid         422  rule-invalid
                    │   ├─ SecretUnreadable    422  secret-unreadable
                    │   ├─ OverLimit           422  over-limit
                    │   ├─ KernelNotThere      422  kernel-not-there
                    │   └─ NotebookInvalid     422  notebook-invalid
                    ├─ TooMany                 429  too-many
                    ├─ ExecutionEnded
                    │   ├─ ExecutionCancelled  409  execution-cancelled
                    │   ├─ ExecutionFailed     422  execution-failed
                    │   ├─ ExecutionInterrupted 503 execution-interrupted
                    │   └─ ExecutionTimedOut   504  execution-timed-out
                    ├─ NotInstalled            501  not-installed
                    └─ Unavailable             503  unavailable

An error carries its facts as attributes, and in ``facts`` as they travel in the problem document; ``detail`` is a
sentence made from them. The Python client raises the same classes, made again from the document.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

PROBLEM_BASE = "/problems/"


class PressroomError(Exception):
    """Something went wrong that Pressroom can explain."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "The service failed"
    where: tuple[str, ...] = ()
    """The field of a request that it is about, where that is known."""

    def __init__(self, detail: str, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.facts: dict[str, Any] = facts

    def __getattr__(self, name: str) -> Any:
        facts: dict[str, Any] = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(f"{type(self).__name__!r} has no fact {name!r}")

    def problem(self) -> dict[str, Any]:
        """The RFC 9457 problem document of this error."""
        head = {"type": PROBLEM_BASE + self.slug, "title": self.title, "status": self.status, "detail": self.detail}
        return head | self.facts

    @classmethod
    def from_problem(cls, problem: Mapping[str, Any]) -> "PressroomError":
        """The error that a problem document tells of: the class by its ``type``, else by its status."""
        slug = str(problem.get("type", "")).rsplit("/", 1)[-1]
        status = problem.get("status")
        facts = {k: v for k, v in problem.items() if k not in ("type", "title", "status", "detail")}
        detail = str(problem.get("detail") or problem.get("title") or f"The service answered {status}.")
        by_slug = {c.slug: c for c in cls.tree()}
        # A status alone, a proxy's 503 or 504 say, does not tell how an execution ended.
        by_status = {c.status: c for c in reversed(list(cls.tree())) if not issubclass(c, ExecutionEnded)}
        found = by_slug.get(slug) or (by_status.get(status) if isinstance(status, int) else None) or PressroomError
        error = found.__new__(found)
        PressroomError.__init__(error, detail, **facts)
        return error

    @classmethod
    def tree(cls) -> Iterator[type["PressroomError"]]:
        """The class and all below it, parents first."""
        yield cls
        for child in cls.__subclasses__():
            yield from child.tree()


class HostNotAllowed(PressroomError):
    """The request asks for a host that is not this service. Facts: ``host``."""

    status, slug, title = 400, "host-not-allowed", "Not a name of this service"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"This service is not asked by the name {shown(host)!r}; PRESSROOM_ALLOWED_HOSTS says by which it is.",
            host=shown(host),
        )


class NotAuthenticated(PressroomError):
    """The request carries no valid identity."""

    status, slug, title = 401, "not-authenticated", "Sign in first"


class NotAllowed(PressroomError):
    """The caller is known, and may not do this."""

    status, slug, title = 403, "not-allowed", "Not allowed"


class PathNotAllowed(NotAllowed):
    """A path lies outside the acting user's directory and the shared roots, or leads out of them.

    Facts: ``path``.
    """

    slug, title = "path-not-allowed", "The path is outside the user's directory"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{shown(path)} {ended(why)}", path=shown(path))


class NotFound(PressroomError):
    """What was asked for is not there, or is not the caller's to see. Facts: ``what``, ``key``."""

    status, slug, title = 404, "not-found", "Not found"

    def __init__(self, what: str, key: object, detail: str | None = None) -> None:
        super().__init__(detail or f"There is no {what} {shown(str(key))}.", what=what, key=shown(str(key)))


class AlreadyExists(PressroomError):
    """Something with this name is there already. Facts: ``what``, ``field``, ``value``."""

    status, slug, title = 409, "already-exists", "Already exists"

    def __init__(self, what: str, field: str, value: object, detail: str | None = None) -> None:
        sentence = detail or f"There is a {what} already whose {field} is {shown(str(value))}."
        super().__init__(sentence, what=what, field=field, value=shown(str(value)))


class IdempotencyConflict(AlreadyExists):
    """The idempotency key came with another request before, or with one whose executions are no longer all there.
    Facts: ``execution_id``, the one of that time, or the first of those that are left; or ``batch_id``."""

    slug, title = "idempotency-conflict", "The key was used for another request"

    def __init__(self, key: str, found: int, deleted: int = 0, what: str = "execution") -> None:
        sentence = f"The idempotency key {shown(key)!r} came with another request before: {what} {found}."
        if deleted:
            sentence = (
                f"The idempotency key {shown(key)!r} came with this request before, and {deleted} of its executions "
                "have been deleted since."
            )
        super().__init__(what, "idempotency_key", key, sentence)
        self.facts[f"{what}_id"] = found


class AlreadyEnded(PressroomError):
    """The execution has ended, and a terminal status never changes. Facts: ``execution_id``, ``ended_as``."""

    status, slug, title = 409, "already-ended", "The execution has ended"

    def __init__(self, execution_id: int, ended_as: str) -> None:
        super().__init__(
            f"Execution {execution_id} has ended already: {ended_as}.", execution_id=execution_id, ended_as=ended_as
        )


class BatchEnded(PressroomError):
    """All executions of the batch have ended, so there is nothing to cancel. Facts: ``batch_id``."""

    status, slug, title = 409, "batch-ended", "The batch has ended"

    def __init__(self, batch_id: int) -> None:
        super().__init__(f"All executions of batch {batch_id} have ended already.", batch_id=batch_id)


class NotEnded(PressroomError):
    """The execution is still under way. Facts: ``execution_id``, ``stands_at``."""

    status, slug, title = 409, "not-ended", "The execution is under way"

    def __init__(self, execution_id: int, stands_at: str) -> None:
        super().__init__(
            f"Execution {execution_id} is still {stands_at}.", execution_id=execution_id, stands_at=stands_at
        )


class TooLarge(PressroomError):
    """A body or a file is over its limit. Facts: ``limit_bytes``."""

    status, slug, title = 413, "too-large", "Too large"

    def __init__(self, what: str, limit_bytes: int) -> None:
        super().__init__(f"{what} is larger than {limit_bytes / 2**20:g} MiB, the limit.", limit_bytes=limit_bytes)


class Invalid(PressroomError):
    """A body, a query or a value is not valid. Facts, where known: ``errors``, a list of ``{loc, msg, ...}``."""

    status, slug, title = 422, "invalid", "Not valid"


class ParameterInvalid(Invalid):
    """A parameter's value breaks its definition.

    Facts: ``parameter`` (its name), ``rule`` (``type``, ``required``, ``unknown``, ``min``, ``pattern``, ...),
    ``value`` (what was given, shortened) and ``errors``, where several are wrong: one ``{parameter, rule, detail}``
    each, which the API answers with the place in the request as well.
    """

    slug, title = "parameter-invalid", "A parameter is not valid"

    def __init__(self, parameter: str, rule: str, why: str, value: object = None) -> None:
        """``why`` completes the sentence that starts with the parameter's name, without a full stop."""
        given = shown(repr(value)) if value is not None else None
        super().__init__(
            f"Parameter {shown(parameter)!r} {ended(why)}",
            parameter=shown(parameter),
            rule=rule,
            value=given,
            errors=[],
        )

    @property
    def by_parameter(self) -> dict[str, str]:
        """What is wrong with each parameter, by its name: the first sentence of each."""
        each = self.errors or [{"parameter": self.parameter, "detail": self.detail}]
        return {one["parameter"]: one["detail"] for one in reversed(each)}

    @classmethod
    def of(cls, problems: "list[ParameterInvalid]") -> "ParameterInvalid":
        """One error for several: the facts of the first, the sentences of all (the first 20)."""
        first = problems[0]
        first.facts["errors"] = [{"parameter": p.parameter, "rule": p.rule, "detail": p.detail} for p in problems[:20]]
        if len(problems) > 1:
            first.detail = " ".join(p.detail for p in problems[:20])
            if len(problems) > 20:
                first.detail += f" And {len(problems) - 20} more."
            first.args = (first.detail,)
        return first


class RuleInvalid(Invalid):
    """A parameter's definition is wrong in itself. Facts: ``parameter``, ``rule``."""

    slug, title = "rule-invalid", "A parameter's definition is not valid"

    def __init__(self, parameter: str, rule: str, why: str) -> None:
        """``why`` completes the sentence that starts with the rule's name, without a full stop."""
        super().__init__(
            f"In the definition of parameter {shown(parameter)!r}, {shown(rule)} {ended(why)}",
            parameter=shown(parameter),
            rule=shown(rule),
        )


class SecretUnreadable(Invalid):
    """The values of secret parameters, an execution's or a schedule's, cannot be decrypted. Facts: ``execution_id``, or
    ``schedule_id``."""

    slug, title = "secret-unreadable", "Secrets cannot be decrypted"

    def __init__(self, number: int, why: str, of: str = "execution") -> None:
        """``number`` is the id of what they are ``of``; ``why`` completes the sentence, without a full stop."""
        sentence = f"The secret parameters of {of} {number} cannot be decrypted: {ended(why)}"
        super().__init__(sentence, **{f"{of}_id": number})


class OverLimit(Invalid):
    """More is asked for than the settings allow. Facts: ``field``, ``value``, ``limit``, ``setting`` (its variable)."""

    slug, title = "over-limit", "More than is allowed"

    def __init__(self, field: str, value: float, limit: float, setting: str) -> None:
        super().__init__(
            f"{field}: {value:.15g} is more than {limit:.15g}, the most that this service allows ({setting}).",
            field=field,
            value=value,
            limit=limit,
            setting=setting,
        )
        self.where = (field,)


class KernelNotThere(Invalid):
    """No living worker of a queue has a kernel. Facts: ``kernel``, ``queue``, ``kernels`` (those that there are)."""

    slug, title = "kernel-not-there", "There is no such kernel"

    def __init__(self, kernel: str, queue: str, kernels: list[str]) -> None:
        there = ", ".join(map(shown, kernels)) or "none"
        super().__init__(
            f"There is no kernel named {shown(kernel)!r} at the workers of queue {queue!r}; those that exist: {there}.",
            kernel=shown(kernel),
            queue=queue,
            kernels=kernels,
        )
        self.where = ("kernel_name",)


class NotebookInvalid(Invalid):
    """A file is not a notebook that can be used. Facts: ``path``."""

    slug, title = "notebook-invalid", "Not a usable notebook"

    def __init__(self, path: str, why: str) -> None:
        """``why`` completes the sentence that starts with the path, without a full stop."""
        super().__init__(f"{shown(path)} {ended(why)}", path=shown(path))


class TooMany(PressroomError):
    """There were too many such requests lately; ``Retry-After`` says when to try again.

    Facts: ``limit`` a minute, ``setting`` (its variable), ``retry_after_seconds``.
    """

    status, slug, title = 429, "too-many", "Too many of them"

    def __init__(self, what: str, limit: int, setting: str, retry_after_seconds: int) -> None:
        """``what`` there were too many of, and by whom or from where."""
        super().__init__(
            f"{what}: {limit} a minute are allowed ({setting}). Try again in {retry_after_seconds} s.",
            limit=limit,
            setting=setting,
            retry_after_seconds=retry_after_seconds,
        )


class ExecutionEnded(PressroomError):
    """An execution that was waited for did not succeed. Facts: ``execution_id``, ``output_path``."""

    status, slug, title = 422, "execution-ended", "The execution did not succeed"


class ExecutionCancelled(ExecutionEnded):
    """The execution was cancelled."""

    status, slug, title = 409, "execution-cancelled", "The execution was cancelled"


class ExecutionFailed(ExecutionEnded):
    """The notebook did not run to its end.

    Facts: ``cell_index`` (0-based, in the output notebook), ``ename``, ``evalue``, ``reason``; the first three are
    ``None`` where no cell raised.
    """

    slug, title = "execution-failed", "The notebook failed"


class ExecutionInterrupted(ExecutionEnded):
    """The service stopped while the execution was under way."""

    status, slug, title = 503, "execution-interrupted", "The execution was interrupted"


class ExecutionTimedOut(ExecutionEnded):
    """The execution took longer than it was allowed."""

    status, slug, title = 504, "execution-timed-out", "The execution took too long"


class NotInstalled(PressroomError):
    """What was asked for needs a library that is not there. Facts: ``library``, ``extra``."""

    status, slug, title = 501, "not-installed", "A library is not installed"

    def __init__(self, what: str, library: str, extra: str) -> None:
        sentence = f'{what} needs {library}, which is not installed: pip install "pressroom[{extra}]"'
        super().__init__(sentence, library=library, extra=extra)


class Unavailable(PressroomError):
    """A part that the service needs cannot be reached. Facts: ``part``."""

    status, slug, title = 503, "unavailable", "Not available at the moment"

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"The {part} cannot be reached: {ended(why)}", part=part)


def ended(sentence: str) -> str:
    """``sentence`` with a full stop, where it has none of its own."""
    return sentence if sentence.endswith((".", "?", "!")) else sentence + "."


def shown(text: str, limit: int = 200) -> str:
    """``text`` fit for a sentence: unprintable characters escaped, cut after ``limit`` characters."""
    cut = text if len(text) <= limit else text[:limit] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in cut)
