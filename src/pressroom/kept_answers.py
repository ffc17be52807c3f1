"""Answers that are kept, and sent again only where PostgreSQL says that nothing they were made of has changed.

It is asked after the request came, so an answer from here is never older than its request, whichever process wrote.
What is saved is the making of the answer: routing, validation, the objects of the rows, JSON.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import Scope

from pressroom.database.checks import Check, Checks, take, take_again
from pressroom.identity.policy import Viewer, viewer
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Right, required

Question = tuple[bytes | str, ...]
LARGEST_BYTES = 1024 * 1024
"""What is larger is not kept."""
ALL_BYTES = 32 * 1024 * 1024
"""How much is kept in a process; what was not asked for longest goes first."""

ASKED = 1000
"""How many questions are remembered that were asked once; only the answer to one that is asked again is kept."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer of 200, the route that it came by, what that needs of a caller, and how to tell whether it holds."""

    body: bytes
    headers: list[tuple[bytes, bytes]]
    route: Any
    right: Right
    check: Check
    size: int


class KeptAnswers:
    """The answers that this process keeps.

    What is asked for is the path, the query and the host, which stands in links, and as whom: callers share an answer
    where they may see the same (see :class:`pressroom.identity.policy.Viewer`).
    """

    def __init__(self) -> None:
        self.checks: Checks | None = None
        """Given when the service starts; until then nothing is kept."""
        self._asked: OrderedDict[int, None] = OrderedDict()
        self._kept: OrderedDict[tuple[Viewer | None, Question], KeptAnswer] = OrderedDict()
        self._questions: Counter[Question] = Counter()
        """How many answers there are to a question, each for others."""
        self._size = 0

    async def check(
        self,
        request: Request,
        caller: Principal,
        session: AsyncSession,
        versions: Callable[[], Sequence[Select[Any]]],
    ) -> Check | None:
        """What an answer is about to be made of: ``versions``, as ``session``, a snapshot, sees them.

        ``None`` where nobody asked the same lately: to keep that answer would cost more than it is likely to save.
        """
        question = _asked(request.scope, caller)
        if (kept := self._kept.get(question)) is not None:
            return await take_again(session, kept.check)
        number = hash(question)  # which is short; where two have the same, one is kept too early
        if number in self._asked:
            return await take(session, *versions())
        self._asked[number] = None
        if len(self._asked) > ASKED:
            self._asked.popitem(last=False)
        return None

    def keep(self, request: Request, caller: Principal, response: Response, check: Check | None) -> Response:
        """``response``, which was made of what ``check`` saw and depends on nothing else but the question and what
        ``caller`` may see."""
        if check is None:
            return response
        question = _asked(request.scope, caller)
        body = bytes(response.body)
        size = len(body) + len(check.answer) + sum(map(len, (*question[1], *check.question)))
        self._forget(question)
        if size <= LARGEST_BYTES:
            headers = list(response.raw_headers)
            scope = request.scope
            self._kept[question] = KeptAnswer(body, headers, scope.get("route"), required(scope), check, size)
            self._questions[question[1]] += 1
            self._size += size
        while self._size > ALL_BYTES:
            self._forget(next(iter(self._kept)))
        return response

    def knows(self, scope: Scope) -> bool:
        """Whether an answer to this question is kept, for whomever."""
        return _question(scope) in self._questions

    async def find(self, scope: Scope, caller: Principal) -> KeptAnswer | None:
        """The answer to a request of ``caller``, if it is kept, still holds, and is for the caller's credential."""
        question = _asked(scope, caller)
        kept = self._kept.get(question)
        if kept is None or self.checks is None or kept.right.scope not in caller.scopes:
            return None
        self._kept.move_to_end(question)
        return kept if await self.checks.holds(kept.check) else None

    def _forget(self, question: tuple[Viewer | None, Question]) -> None:
        if (kept := self._kept.pop(question, None)) is not None:
            self._size -= kept.size
            self._questions[question[1]] -= 1
            if not self._questions[question[1]]:
                del self._questions[question[1]]


def _asked(scope: Scope, caller: Principal) -> tuple[Viewer | None, Question]:
    return viewer(caller), _question(scope)


def _question(scope: Scope) -> Question:
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return (scope["path"], scope["query_string"], host, scope.get("scheme", ""), scope.get("root_path", ""))
