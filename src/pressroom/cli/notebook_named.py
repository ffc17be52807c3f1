"""A registered notebook as a command is told of it."""

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.cli.room import absolute
from pressroom.database.models import Notebook
from pressroom.errors import NotFound
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal
from pressroom.identity.visibility import sees_notebook
from pressroom.wire import MAX_ID

HELP = "The registered notebook: its id, its name or its file."


async def notebook_named(session: AsyncSession, principal: Principal, named: str) -> int:
    """The id of a notebook by its id, its name or its file; of several with a name, the caller's own.

    Raises :class:`NotFound`.
    """
    if named.isascii() and named.isdigit() and int(named) <= MAX_ID:
        return int(named)
    path = absolute(named)
    meant = or_(Notebook.name == named, Notebook.file_path == path)
    wanted = select(Notebook.id, Notebook.username).where(meant, *sees_notebook(viewer(principal)))
    found = (await session.execute(wanted)).all()
    own = [row.id for row in found if row.username == principal.username]
    chosen = own or [row.id for row in found]
    if len(chosen) > 1:
        ids = ", ".join(map(str, sorted(chosen)))
        raise NotFound("notebook", named, f"Several notebooks are named {named}; say which by its id: {ids}.")
    if not chosen:
        sentence = f"No notebook is registered as {named}, nor for {path}; `pressroom notebooks add` registers one."
        raise NotFound("notebook", named, sentence)
    return chosen[0]
